"""``python -m benchmarks.profiles``: what each path calls, counted, kept as text.

Calls are counted, not timed: a count is the same on a busy machine, and a line that appears or
goes away shows in the history of the files. Thread hops are taken out, so that all of a path is
seen; the password's hash is a toy.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlencode

from benchmarks import installation
from benchmarks.installation import PASSWORD
from benchmarks.processes import ROOT, SCRATCH, prepare_scratch

FOLDER = Path(__file__).parent / "profiles"
_FORM = (b"content-type", b"application/x-www-form-urlencoded")
_JSON = (b"content-type", b"application/json")
_MAX_LINES = 60

Headers = list[tuple[bytes, bytes]]


async def call(
    app: Any, path: str, *headers: tuple[bytes, bytes], body: bytes | None = None
) -> tuple[int, bytes]:
    """Send one request to an application in this process."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50_000),
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *headers],
        "state": {},
    }
    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


class Calls:
    """Counts what is called, by module and function."""

    def __init__(self) -> None:
        self.python: Counter[str] = Counter()
        self.built_in: Counter[str] = Counter()

    def note(self, frame: FrameType, happened: str, what: Any) -> None:
        if happened == "call":
            self.python[_place(frame)] += 1
        elif happened == "c_call":
            self.built_in[getattr(what, "__qualname__", str(what))] += 1

    def text(self, name: str) -> str:
        """Return the counts, the dearest packages and functions first."""
        packages: Counter[str] = Counter()
        for place, count in self.python.items():
            packages[place.split("/")[0]] += count
        lines = [
            f"{name}: {self.python.total()} calls in Python, {self.built_in.total()} of built-ins",
            "",
            *(f"{count:6}  {package}" for package, count in packages.most_common()),
            "",
            *(f"{count:6}  {place}" for place, count in _ordered(self.python)),
            "",
            *(f"{count:6}  {what}" for what, count in _ordered(self.built_in)),
        ]
        return "\n".join(lines) + "\n"


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MAX_LINES]


def _place(frame: FrameType) -> str:
    path = frame.f_code.co_filename
    python = f"/python{sys.version_info[0]}.{sys.version_info[1]}/"
    for mark in (f"{ROOT}/", "site-packages/", "src/", python):
        path = path.rpartition(mark)[2]
    return f"{path} {frame.f_code.co_name}"


async def main() -> None:
    """Profile every path and write its file."""
    prepare_scratch()
    where = installation.create(SCRATCH / "profiles", accounts=50, profile=installation.TOY)
    os.environ.update(where.environment)
    from benchmarks.apps import bare, guarded
    from twinlock.web import hash_pool, work

    async def at_once(_: object, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return step(*args, **kwargs)

    work.Workers._run = at_once  # type: ignore[method-assign]
    hash_pool.Place.run = at_once  # type: ignore[method-assign]
    guarded.auth.start().sight.close()

    async def token() -> str:
        person, code = where.people.next_code()
        form = {"grant_type": "password", "username": person.username, "password": PASSWORD + code}
        status, body = await call(guarded.app, "/token", _FORM, body=urlencode(form).encode())
        assert status == 200, body
        return str(json.loads(body)["access_token"])

    async def two_steps() -> None:
        person, code = where.people.next_code()
        begin = json.dumps({"username": person.username, "password": PASSWORD}).encode()
        status, body = await call(guarded.app, "/api/login", _JSON, body=begin)
        assert status == 200, body
        answer = {"login": json.loads(body)["login"], "answer": code}
        status, body = await call(
            guarded.app, "/api/login/totp", _JSON, body=json.dumps(answer).encode()
        )
        assert status == 200, body

    async def first_sight() -> None:
        guarded.auth.runtime.sight._seen.forget_all()
        await call(guarded.app, "/me", bearer)

    good = await token()
    bearer = (b"authorization", f"Bearer {good}".encode())
    forged = (b"authorization", f"Bearer {good[:-20]}{'A' * 20}".encode())
    paths: dict[str, Callable[[], Awaitable[object]]] = {
        "bare": lambda: call(bare.app, "/me", bearer),
        "dependency": lambda: call(guarded.app, "/me", bearer),
        "require": lambda: call(guarded.app, "/strict", bearer),
        "layer": lambda: call(guarded.layered, "/me", bearer),
        "forward-auth": lambda: call(guarded.layered, "/forward-auth", bearer),
        "first-sight": first_sight,
        "forged-again": lambda: call(guarded.layered, "/me", forged),
        "token": token,
        "two-steps": two_steps,
    }
    FOLDER.mkdir(exist_ok=True)
    for name, path in paths.items():
        for _ in range(3):
            await path()  # what is made once is made by now
        calls = Calls()
        sys.setprofile(calls.note)
        await path()
        sys.setprofile(None)
        text = calls.text(name)
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
        print(text.splitlines()[0])
    guarded.auth.close()


if __name__ == "__main__":
    asyncio.run(main())
