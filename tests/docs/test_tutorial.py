"""The tutorial is followed word by word: its commands are typed, its app runs, its replies come.

A real shell stands for nothing here: ``twinlock`` commands run as processes at a terminal, and
``curl`` is read and sent to the app, whose clock the test moves where the page says to wait.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.cli.terminal import at_terminal
from tests.examples.conftest import PASSWORD, ROOT, load
from twinlock.core.clock import utc_now
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.clock import MovableClock

PAGE = ROOT / "docs" / "tutorial.md"
ENVIRONMENT = {
    "TWINLOCK_ENVIRONMENT": "development",
    "TWINLOCK_HASH_MEMORY_KIB": "64",
    "TWINLOCK_HASH_ITERATIONS": "1",
}
ELSEWHERE = ("python3 -m venv", ". .venv", "pip install", "export TWINLOCK_ENVIRONMENT=")
"""What the environment of the tests stands in for; tests/packaging installs the wheel."""


@dataclass
class Newcomer:
    """Who follows the page in an empty folder."""

    folder: Path
    clock: MovableClock = field(default_factory=lambda: MovableClock(utc_now()))
    phone: FakeAuthenticator = field(default_factory=FakeAuthenticator)
    variables: dict[str, str] = field(default_factory=dict)
    reply: Response | None = None
    client: TestClient | None = None

    def type(self, command: str) -> None:
        """Do what a line of the terminal does."""
        if command.startswith(ELSEWHERE):
            return
        if assigned := re.match(r"([A-Z]+)=", command):
            self.variables[assigned[1]] = self.value(assigned[1])
        elif command.startswith("twinlock factor enroll"):
            self.enroll(shlex.split(command)[1:])
        elif command.startswith("twinlock"):
            words = shlex.split(command)[1:]
            dialogue = (
                [("Password: ", PASSWORD), ("confirmation: ", PASSWORD)]
                if "create" in words
                else []
            )
            told = at_terminal(words, dialogue, folder=self.folder, environ=ENVIRONMENT)
            assert told.code == 0, told.stderr
        elif command.startswith("curl"):
            self.curl(command)
        else:
            assert command == "uvicorn app:app"

    def value(self, name: str) -> str:
        """Return what a person would fill in."""
        if name == "PASSWORD":
            return PASSWORD
        if name == "CODE":
            return self.phone.code(self.clock.advance(seconds=30))
        assert self.reply is not None
        value: str = self.reply.json()["access_token" if name == "TOKEN" else name.lower()]
        return value

    def enroll(self, words: list[str]) -> None:
        """Scan the code of the terminal, and type what the app shows."""
        with subprocess.Popen(
            [sys.executable, "-m", "twinlock", *words, "--json"],
            cwd=self.folder,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            self.phone.scan(json.loads(process.stdout.readline())["uri"])
            process.stdin.write(self.phone.code(utc_now()) + "\n")
            process.stdin.flush()
            assert process.wait() == 0
        self.clock.now = utc_now()

    def curl(self, command: str) -> None:
        """Send what curl would."""
        assert self.client is not None
        shell = f'printf "%s\\0" {command.removeprefix("curl")}'
        env = {**os.environ, **self.variables}
        done = subprocess.run(["bash", "-c", shell], capture_output=True, env=env, check=True)
        words = iter(done.stdout.decode().split("\0")[:-1])
        method, path, headers, data = "GET", "", {}, []
        for word in words:
            match word:
                case "-s" | "-i":
                    pass
                case "-X":
                    method = next(words)
                case "-H":
                    name, _, value = next(words).partition(": ")
                    headers[name] = value
                case "-d" | "--data-urlencode":
                    data.append(next(words))
                case url:
                    assert url.startswith("http://localhost:8000/")
                    path = urlsplit(url).path
        if data and "Content-Type" in headers:
            self.reply = self.client.post(path, content=data[0], headers=headers)
        elif data:
            form = dict(pair.partition("=")[::2] for pair in data)
            self.reply = self.client.post(path, data=form, headers=headers)
        else:
            self.reply = self.client.request(method, path, headers=headers)

    def is_shown(self, block: str, language: str) -> None:
        """Check that the last reply is the one of the page, but for secrets."""
        assert self.reply is not None
        if language == "http":
            first, *lines = block.splitlines()
            assert f" {self.reply.status_code} " in first
            for line in lines:
                name, _, value = line.partition(": ")
                assert self.reply.headers[name] == value
            return
        shown: dict[str, Any] = json.loads(block)
        told: dict[str, Any] = self.reply.json()
        assert told.keys() == shown.keys()
        for name, value in shown.items():
            if "…" not in str(value):
                assert told[name] == value, name


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Newcomer]:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    newcomer = Newcomer(tmp_path)
    yield newcomer
    if newcomer.client is not None:
        newcomer.client.__exit__(None, None, None)


def test_the_tutorial_works_as_it_is_written(newcomer: Newcomer) -> None:
    text = PAGE.read_text()
    pieces = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$|^(Six minutes later):$", text)
    kinds = [language or later for language, _, later in pieces]
    assert kinds.count("json") >= 7
    assert kinds.count("console") >= 10

    for language, block, later in pieces:
        match language:
            case "console":
                for command in re.split(r"(?m)^\$ ", block.replace("\\\n", " "))[1:]:
                    newcomer.type(command.strip())
            case "python":
                (newcomer.folder / "app.py").write_text(block)
            case "json" if "signed in by" in block:
                assert json.loads(block) == on_the_page_of_docs(newcomer)
            case "json" | "http":
                newcomer.is_shown(block, language)
            case _:
                assert later
        if later:
            newcomer.clock.advance(minutes=6)


def on_the_page_of_docs(newcomer: Newcomer) -> Any:
    """Start the app and press *Authorize*, as the page says in words."""
    example = load(newcomer.folder / "app.py")
    example.auth._clock = newcomer.clock
    newcomer.client = TestClient(example.app, base_url="http://localhost:8000")
    newcomer.client.__enter__()
    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
    token = newcomer.client.post("/token", data=form).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert newcomer.client.post("/transfer", headers=bearer).status_code == 401
    return newcomer.client.get("/items", headers=bearer).json()
