"""Requests that nobody means: every route, with its real body bent in random places (goal R4).

    python -m reliability requests --number 100000 --seed 1

No answer may be a server's error, and no secret may come back or be written to the log.
"""

import io
import json
import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from twinlock.api import routers

NOBODY: Final = "0" * 32
SECRET: Final = "secret-xyzzy-7349-plugh"
"""What every password, token and answer contains, and no reply or log line may."""

TEXTS: Final = (
    "", " ", "\x00", "a\x00b", "\ud800", "\u202e", "é" * 300, "x" * 5_000, "0", "-1", "null",
    "true", "'", "' OR 1=1 --", "%00", "%s%n", "{{7*7}}", "../../etc/passwd", "1e999", NOBODY,
    "johndoe", "root", "JOHNDOE", "johndoe@example.com", "ＪＯＨＮ", "123456", "１２３４５６",
    "Bearer x", "a.b.c", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "totp", "passkey",
    "recovery_codes", "password", "aal1", "aal2", "phr", SECRET,
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**30, 1.5, [], {}, [None], {"": ""}, ["x"] * 100,
    {"id": "x", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "e30"}},
)  # fmt: skip
SHOWN: Final = {"username", "full_name", "label", "email", "roles"}
"""What an account is shown of itself, and so comes back by right."""
FIELDS: Final = (
    "username", "password", "login", "answer", "trust_device", "method", "label", "enrollment",
    "reauthentication", "acr", "current_password", "new_password", "full_name", "roles", "email",
    "transport", "link", "token",
)  # fmt: skip
FORM_FIELDS: Final = (
    "grant_type", "username", "password", "otp", "scope", "client_id", "refresh_token",
    "mfa_token", "method", "answer", "token", "token_type_hint",
)  # fmt: skip
GRANTS: Final = (
    "password",
    "refresh_token",
    "urn:twinlock:params:oauth:grant-type:second-factor",
)
HEADERS: Final = (
    "Host", "Origin", "Sec-Fetch-Site", "X-Forwarded-For", "Forwarded", "X-Csrf-Token", "Cookie",
    "Content-Type", "Accept", "User-Agent", "X-Forwarded-Host",
)  # fmt: skip


def own_routes() -> list[str]:
    """Return every route of the API, as ``GET /users/me``, hidden ones included."""
    return [
        f"{method} {prefix}{route.path}"
        for prefix, added in routers._routers()
        for route in added.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


@dataclass
class Fuzzer:
    """Sends bent requests, always the same ones for one seed.

    Attributes:
        tokens: Gives Authorization headers of accounts that are signed in right now.
    """

    client: TestClient
    tokens: Callable[[], list[dict[str, str]]]
    chance: random.Random

    def run(self, requests: int) -> Counter[int]:
        """Send *requests* requests and return how often each status was answered.

        Raises:
            AssertionError: A server's error, or a secret that came back or was logged.
        """
        statuses: Counter[int] = Counter()
        routes = own_routes()
        tokens = self.tokens()
        with listening() as log:
            for number in range(requests):
                if number % 200 == 0:
                    tokens = self.tokens()
                method, path = self.chance.choice(routes).split()
                asked = self._request(method, path, tokens)
                answer = self.client.request(**asked)
                statuses[answer.status_code] += 1
                unavailable = answer.status_code == 503 and "/readyz" in path
                assert answer.status_code < 500 or unavailable, (asked, answer.text)
                assert SECRET not in answer.text, asked
                assert SECRET not in log.getvalue(), asked
                log.seek(0)
                log.truncate()
        return statuses

    def _request(self, method: str, path: str, tokens: list[dict[str, str]]) -> dict[str, Any]:
        chance = self.chance
        while "{" in path:
            before, _, rest = path.partition("{")
            text = chance.choice(("totp", "passkey", NOBODY, self._text()))
            path = before + (quote(text.encode("utf-8", "surrogatepass"), safe="") or "x")
            path += rest.partition("}")[2]
        headers: dict[str, str] = {}
        if tokens and chance.random() < 0.8:
            headers |= chance.choice(tokens)
        if chance.random() < 0.2:
            # A User-Agent comes back, by right, in an account's own history.
            text = self._text().replace(SECRET, "x")
            value = text.encode("utf-8", "replace").decode("latin-1")
            clean = "".join(one for one in value if one >= " " and one != "\x7f")[:500].strip()
            headers[chance.choice(HEADERS)] = clean
        asked: dict[str, Any] = {"method": method, "url": path, "headers": headers}
        if chance.random() < 0.3:
            names = ("limit", "cursor", "search", "user", "type", "since", "access_token")
            query = {chance.choice(names): self._text().encode("utf-8", "replace")}
            asked["url"] += "?" + urlencode(query)
        if method in {"POST", "PATCH", "PUT"} or chance.random() < 0.05:
            asked["content"], type_ = self._body(path)
            headers.setdefault("Content-Type", type_)
        asked["headers"] = {k: v.encode("latin-1") for k, v in headers.items()}
        return asked

    def _body(self, path: str) -> tuple[bytes, str]:
        chance = self.chance
        if path in {"/token", "/revoke"}:
            pairs = [(name, self._text()) for name in chance.sample(FORM_FIELDS, 5)]
            pairs.append(("grant_type", chance.choice(GRANTS)))
            if chance.random() < 0.7:
                pairs = list(dict(pairs).items())
            body = urlencode([(k, v.encode("utf-8", "replace")) for k, v in pairs]).encode()
            return self._bent(body), "application/x-www-form-urlencoded"
        names = chance.sample(FIELDS, chance.randint(0, len(FIELDS)))
        value = {name: self._value(name) for name in names}
        return self._bent(json.dumps(value).encode()), "application/json"

    def _bent(self, body: bytes) -> bytes:
        """Break a few bytes of some bodies."""
        chance = self.chance
        if chance.random() < 0.85 or not body:
            return body
        place = chance.randrange(len(body))
        match chance.randrange(4):
            case 0:
                return body[:place]
            case 1:
                return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
            case 2:
                return b"[" * 200 + body
            case _:
                return body + body

    def _value(self, name: str) -> Any:
        value = self._text() if self.chance.random() < 0.7 else self.chance.choice(VALUES)
        return "x" if value == SECRET and name in SHOWN else value

    def _text(self) -> str:
        return self.chance.choice(TEXTS)


@contextmanager
def listening() -> Iterator[io.StringIO]:
    """Give all that is logged meanwhile."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield written
    finally:
        root.removeHandler(handler)


def run(requests: int, *, seed: int) -> Counter[int]:
    """Send requests to an installation of their own; return how often each status was answered.

    Raises:
        AssertionError: A server's error, or a secret that came back or was logged.
    """
    from tests.support.home import Furnished, Home
    from tests.support.house import migrate

    folder = Path(tempfile.mkdtemp(prefix="twinlock-fuzz-"))
    try:
        database = folder / "migrated.sqlite3"
        migrate(f"sqlite:///{database}")
        (folder / "furnished").mkdir()
        furnished = Furnished.make(folder / "furnished", database)
        house, john = furnished.copy(folder / "home")
        with house.open() as client:
            return fuzzer_of(Home(house, client, john), seed).run(requests)
    finally:
        shutil.rmtree(folder)


def fuzzer_of(home: Any, seed: int) -> Fuzzer:
    """Return a fuzzer of a home, with an ordinary account and a fresh admin signed in."""
    from tests.support.house import PASSWORD, bearer, sign_in

    home.house.clock.advance(seconds=30)
    accounts = iter(range(10**9))

    def tokens() -> list[dict[str, str]]:
        house, client = home.house, home.client
        name = f"fuzz{next(accounts)}"
        house.clock.advance(minutes=11)
        house.create(name)
        house.create(f"{name}root", roles=("admin",))
        root = house.enroll(client, f"{name}root")
        return [bearer(sign_in(client, name, PASSWORD)), root.bearer]

    return Fuzzer(home.client, tokens, random.Random(seed))
