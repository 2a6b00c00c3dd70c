"""What every factor must pass. A new factor adds one `Kit` to ``KITS`` and nothing else.

A kit knows how the factor's owner answers; the suite knows what an answer may do.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi.testclient import TestClient

from tests.support.house import Enrolled, House, bearer


class Kit(Protocol):
    """One account with the factor under test, and its owner's means to answer."""

    method: str

    def set_up(self, house: House, client: TestClient, username: str) -> None:
        """Make an account of that name that has the factor."""
        ...

    def answer(self, house: House, username: str) -> Any:
        """Return a right answer that was never used; may move the clock on."""
        ...

    def wrong_answers(self) -> list[Any]:
        """Return answers of the right shape that are wrong."""
        ...

    def remove(self, house: House, client: TestClient, username: str) -> None:
        """Take the factor from the account, leaving another second factor if it needs one."""
        ...


GARBAGE: list[Any] = [
    "",
    " ",
    "\u0000",
    "a" * 10_000,
    "١٢٣٤٥٦",
    "12345",
    "1234567890123456789012345678901234567890",
    "🔑🔑🔑🔑🔑🔑",
    {},
    {"id": "x", "rawId": "x", "type": "public-key", "response": {}},
    {"": None},
]
"""Answers that belong to no factor."""


@dataclass
class TotpKit:
    """An authenticator app."""

    method: str = "totp"
    enrolled: dict[str, Enrolled] = field(default_factory=dict)

    def set_up(self, house: House, client: TestClient, username: str) -> None:
        """Enroll it through the API."""
        house.create(username)
        self.enrolled[username] = house.enroll(client, username)

    def answer(self, house: House, username: str) -> Any:
        """Wait for the next code."""
        house.clock.advance(seconds=30)
        return self.enrolled[username].phone.code(house.now)

    def wrong_answers(self) -> list[Any]:
        """Return codes that fit by a chance of one in some hundred thousand."""
        return ["000000", "999999", "12345678"]

    def remove(self, house: House, client: TestClient, username: str) -> None:
        """Enroll another app, then remove the first one."""
        first = self.enrolled[username]
        old = client.get("/api/factors", headers=first.bearer).json()["factors"][0]["id"]
        begun = client.post("/api/factors/totp", json={}, headers=first.bearer).json()
        other = type(first.phone).from_uri(begun["options"]["uri"])
        confirmed = client.post(
            "/api/factors/totp/confirm",
            json={"enrollment": begun["enrollment"], "answer": other.code(house.now)},
            headers=first.bearer,
        )
        removed = client.delete(f"/api/factors/{old}", headers=bearer(confirmed.json()))
        assert removed.status_code == 200, removed.text


@dataclass
class RecoveryCodesKit:
    """A sheet of recovery codes, beside an authenticator app that has brought it along."""

    method: str = "recovery_codes"
    enrolled: dict[str, Enrolled] = field(default_factory=dict)

    def set_up(self, house: House, client: TestClient, username: str) -> None:
        """Enroll the app that the codes come with."""
        house.create(username)
        self.enrolled[username] = house.enroll(client, username)

    def answer(self, house: House, username: str) -> Any:
        """Take the next code from the sheet."""
        return self.enrolled[username].recovery_codes.pop()

    def wrong_answers(self) -> list[Any]:
        """Return codes that nobody was given."""
        return ["0000-0000-0000-0000-0000-0000", "ABCD-EFGH-JKMN-PQRS-TVWX-YZ01"]

    def remove(self, house: House, client: TestClient, username: str) -> None:
        """Make a new sheet: the old one is dead."""
        made = client.post(
            "/api/factors/recovery_codes", json={}, headers=self.enrolled[username].bearer
        )
        assert made.status_code == 201, made.text


KITS: list[type[Kit]] = [TotpKit, RecoveryCodesKit]
