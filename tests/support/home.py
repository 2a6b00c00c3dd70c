"""A house that is lived in: johndoe has an authenticator app and ten recovery codes."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Row, TextClause

from tests.support.house import PASSWORD, Enrolled, House, begin_login, token
from twinlock.audit import store as audit
from twinlock.audit.events import EventType

STEP = timedelta(seconds=30)
WRONG_CODE = "000000"
WRONG_PASSWORD = "wrong horse battery staple"


@dataclass(frozen=True)
class Furnished:
    """The files of a house that is lived in, from which others are copied."""

    folder: Path
    john: Enrolled

    @classmethod
    def make(cls, folder: Path, migrated: Path) -> "Furnished":
        """Make them in an empty folder, out of a migrated database."""
        shutil.copyfile(migrated, folder / "twinlock.sqlite3")
        house = House(folder / "data", f"sqlite:///{folder / 'twinlock.sqlite3'}")
        with house.open() as client:
            house.create()
            return cls(folder, house.enroll(client))

    def copy(self, folder: Path, **settings: Any) -> tuple[House, Enrolled]:
        """Return another such house, in an empty folder, and what its johndoe holds."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        house = House(folder / "data", f"sqlite:///{folder / 'twinlock.sqlite3'}", **settings)
        return house, replace(self.john, recovery_codes=list(self.john.recovery_codes))


@dataclass(frozen=True)
class Home:
    """The running house, a client on the network that johndoe enrolled from, and his things."""

    house: House
    client: TestClient
    john: Enrolled

    def code(self) -> str:
        """Wait for the next code of johndoe's app, which nobody has used."""
        self.house.clock.now += STEP
        return self.john.phone.code(self.house.now)

    def recovery_code(self) -> str:
        """Take the next code from johndoe's sheet."""
        return self.john.recovery_codes.pop()

    def from_address(self, ip: str) -> TestClient:
        """Return a client at another address."""
        return self.house.client(ip)

    def token(self, password: str, username: str = "johndoe", **fields: str) -> Response:
        """Ask the token endpoint with the password grant."""
        response: Response = token(self.client, username, password, **fields)
        return response

    def grant(self, handle: str, answer: str, method: str = "totp") -> Response:
        """Answer a pending login at the token endpoint."""
        form = {
            "grant_type": "urn:twinlock:params:oauth:grant-type:second-factor",
            "mfa_token": handle,
            "method": method,
            "answer": answer,
        }
        return self.client.post("/token", data=form)

    def begin(self, password: str = PASSWORD, username: str = "johndoe") -> str:
        """Take the password step and return the handle of the pending login."""
        handle: str = begin_login(self.client, username, password)["login"]
        return handle

    def answer(self, handle: str, answer: Any, method: str = "totp") -> Response:
        """Answer a pending login."""
        body = {"login": handle, "answer": answer}
        return self.client.post(f"/api/login/{method}", json=body)

    def events(self, type_: EventType | None = None) -> Sequence[Row[Any]]:
        """Return what the audit log holds, the newest first."""
        return self.house.database.reading(audit.list_events, limit=1_000, type_=type_)

    def execute(self, statement: TextClause, **params: Any) -> None:
        """Change the database behind the application's back."""
        self.house.database.transaction(lambda tx: tx.execute(statement, params))


def told(response: Response) -> tuple[int, bytes, list[str]]:
    """Return all of a denial that a client can compare: status, words, header names."""
    return response.status_code, response.content, sorted(response.headers)
