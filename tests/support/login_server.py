"""A login server reduced to what services see of it: the keys it publishes, the tokens it signs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from twinlock.core.keyring import Keyring
from twinlock.core.proof import Acr, SubjectId
from twinlock.core.secrets import new_id
from twinlock.tokens.access_token import AccessClaims, sign
from twinlock.tokens.signing_keys import KeySet, generate, open_key, open_key_set

KEYRING = Keyring([bytes(32)])


@dataclass
class Answer:
    """What the server says when it is asked for its keys."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class LoginServer:
    """Publishes keys at `url`, signs tokens, and counts how often it was asked."""

    def __init__(self, url: str, *, now: datetime) -> None:
        self.url = url
        self.paths: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.broken: Answer | None = None
        self.rotate(now=now)

    def rotate(self, *, now: datetime) -> None:
        """Sign with a new key from now on, and publish only that one."""
        stored = generate(KEYRING, now=now)
        self._key = open_key(stored, KEYRING)
        self._keys: KeySet = open_key_set([stored], KEYRING)

    def token(self, *, now: datetime, **said: Any) -> str:
        """Return an access token that was signed just now."""
        claims: dict[str, Any] = {
            "issuer": self.url,
            "subject": SubjectId("5" * 32),
            "client_id": "twinlock",
            "audience": self.url,
            "issued_at": now,
            "expires_at": now + timedelta(minutes=10),
            "jti": new_id(),
            "session_id": "2" * 32,
            "scope": ("items:read",),
            "roles": ("editor",),
            "acr": Acr.AAL2,
            "amr": ("pwd", "otp", "mfa"),
            "auth_time": now,
        }
        return sign(AccessClaims(**{**claims, **said}), self._key)

    def answer(self, path: str) -> Answer:
        """Say what there is at a path, once nobody holds the answer back."""
        self.paths.append(path)
        self.free.wait(10)
        if self.broken is not None:
            return self.broken
        if path != "/.well-known/jwks.json":
            return Answer(status=404)
        return Answer(json.dumps(self._keys.jwks()).encode())


@contextmanager
def serving(*, now: datetime) -> Iterator[LoginServer]:
    """Run such a server on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = server.answer(self.path)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = LoginServer(f"http://127.0.0.1:{listener.server_port}", now=now)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.free.set()
            listener.shutdown()
            thread.join()
