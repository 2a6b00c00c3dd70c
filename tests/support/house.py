"""A whole installation for tests: keys, database, accounts, a movable clock and a client."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal
from fastapi import FastAPI
from fastapi.testclient import TestClient

from twinlock.accounts.directory import Account
from twinlock.app import Twinlock
from twinlock.db.engine import Database
from twinlock.flows.administration import Administration
from twinlock.flows.changes import Changes
from twinlock.flows.counting import Counting
from twinlock.flows.factor_administration import FactorAdministration
from twinlock.flows.policing import PasswordPolicy
from twinlock.flows.policy_administration import PolicyAdministration
from twinlock.flows.verifying import Verifying
from twinlock.login_server import create_app
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.clock import MovableClock
from twinlock.testing.installation import (
    BASE_URL,
    OPERATOR,
    changed,
    initialise,
    make_settings,
    migrate,
)
from twinlock.testing.people import create_user
from twinlock.web.runtime import Runtime

__all__ = ["BASE_URL", "OPERATOR", "PASSWORD", "Enrolled", "House", "migrate"]

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Enrolled:
    """What a test holds after enrolling TOTP for an account."""

    account: Account
    phone: FakeAuthenticator
    recovery_codes: list[str]
    tokens: dict[str, Any]

    @property
    def bearer(self) -> dict[str, str]:
        """The Authorization header of the session that the enrollment left."""
        return bearer(self.tokens)


class House:
    """An installation on a migrated database, with its own keys and clock; `open` it first."""

    def __init__(self, folder: Path, database_url: str, **settings: Any) -> None:
        self.settings = make_settings(folder, database_url, **settings)
        self.clock = MovableClock()
        initialise(self.settings, clock=self.clock)
        self.app: FastAPI = create_app(self.settings, clock=self.clock)
        self._portal: BlockingPortal | None = None

    def again(self, **settings: Any) -> "House":
        """Return the same installation after a restart, with these settings changed."""
        other = copy.copy(self)
        other.settings = changed(self.settings, **settings)
        other.app = create_app(other.settings, clock=self.clock)
        return other

    @property
    def auth(self) -> Twinlock:
        """The instance inside the application."""
        auth = self.app.state.twinlock
        assert isinstance(auth, Twinlock)
        return auth

    @property
    def runtime(self) -> Runtime:
        """The running installation."""
        return self.auth.runtime

    @property
    def database(self) -> Database:
        """The installation's database."""
        return self.runtime.parts.database

    @property
    def now(self) -> datetime:
        """The present moment of the movable clock."""
        return self.clock()

    @property
    def administration(self) -> Administration:
        """What an operator can do."""
        parts = self.runtime.parts
        policy = PasswordPolicy("Twinlock", 8, 1024)
        emails = self.runtime.staged_emails
        return Administration(parts, Counting(parts), self._changes, policy, emails)

    @property
    def factor_administration(self) -> FactorAdministration:
        """What an operator can do to factors."""
        parts = self.runtime.parts
        return FactorAdministration(parts, Verifying(parts, Counting(parts)), self._changes)

    @property
    def policy_administration(self) -> PolicyAdministration:
        """What an operator can demand."""
        return PolicyAdministration(self.runtime.parts)

    @property
    def _changes(self) -> Changes:
        parts = self.runtime.parts
        verifying = Verifying(parts, Counting(parts))
        return Changes(parts, verifying, self.runtime.opening)

    @contextlib.contextmanager
    def open(self) -> Iterator[TestClient]:
        """Start the server's application and give a client of it."""
        with TestClient(self.app, base_url=BASE_URL, raise_server_exceptions=True) as client:
            self._portal = client.portal
            yield client
        self._portal = None

    def client(self, ip: str = "testclient") -> TestClient:
        """Return another client of the running application, with cookies of its own.

        Args:
            ip: Where it is; by default nowhere, like the client that `open` gives.
        """
        client = TestClient(self.app, base_url=BASE_URL, client=(ip, 50_000))
        client.portal = self._portal  # the running event loop, instead of one for each request
        return client

    def create(
        self, username: str = "johndoe", password: str | None = PASSWORD, **given: Any
    ) -> Account:
        """Make an account."""
        given = {"email": f"{username}@example.com", "full_name": "John Doe", **given}
        return create_user(self.auth, username, password=password, **given)

    def account(self, username: str = "johndoe") -> Account:
        """Return an account as it is now."""
        found = self.administration.find(username)
        assert found is not None
        return found

    def enroll(
        self, client: TestClient, username: str = "johndoe", password: str = PASSWORD
    ) -> Enrolled:
        """Sign in with the password and enroll TOTP through the API.

        The code that confirms it is spent: `advance` the clock by 30 s before the next.
        """
        headers = bearer(sign_in(client, username, password))
        begun = client.post("/api/factors/totp", json={}, headers=headers)
        assert begun.status_code == 200, begun.text
        phone = FakeAuthenticator.from_uri(begun.json()["options"]["uri"])
        confirmed = client.post(
            "/api/factors/totp/confirm",
            json={
                "enrollment": begun.json()["enrollment"],
                "answer": phone.code(self.now),
                "label": "Phone",
            },
            headers=headers,
        )
        assert confirmed.status_code == 201, confirmed.text
        body = confirmed.json()
        return Enrolled(self.account(username), phone, body["recovery_codes"], body)

    def enroll_passkey(
        self,
        client: TestClient,
        device: FakeAuthenticator,
        tokens: dict[str, Any],
        label: str = "Key",
    ) -> dict[str, Any]:
        """Enroll a passkey in the session of *tokens*, and return the answer with its new ones."""
        begun = client.post("/api/factors/passkey", json={}, headers=bearer(tokens))
        assert begun.status_code == 200, begun.text
        body = {
            "enrollment": begun.json()["enrollment"],
            "answer": device.create(begun.json()["options"]),
            "label": label,
        }
        confirmed = client.post("/api/factors/passkey/confirm", json=body, headers=bearer(tokens))
        assert confirmed.status_code == 201, confirmed.text
        answered: dict[str, Any] = confirmed.json()
        return answered


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    """Return the Authorization header of a token response."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def token(client: TestClient, username: str, password: str, **fields: str) -> Any:
    """Ask the token endpoint with the password grant; return the response."""
    form = {"grant_type": "password", "username": username, "password": password, **fields}
    return client.post("/token", data=form)


def sign_in(
    client: TestClient, username: str = "johndoe", password: str = PASSWORD, **fields: str
) -> dict[str, Any]:
    """Sign in at the token endpoint and return the token response."""
    response = token(client, username, password, **fields)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def begin_login(
    client: TestClient, username: str = "johndoe", password: str = PASSWORD
) -> dict[str, Any]:
    """Take the password step of a two-step login and return its answer."""
    response = client.post("/api/login", json={"username": username, "password": password})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body
