"""What every factor must pass. A new factor adds one `Kit` to ``KITS`` and nothing else.

A kit knows how the factor's owner answers; the suite knows what an answer may do.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi.testclient import TestClient

from tests.support.house import Enrolled, House, bearer, begin_login, sign_in
from tests.support.mails import EveryMail
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap


class Kit(Protocol):
    """One account with the factor under test, and its owner's means to answer."""

    method: str

    def set_up(self, house: House, client: TestClient, username: str) -> None:
        """Make an account of that name that has the factor."""
        ...

    def answer(self, house: House, username: str, login: dict[str, Any]) -> Any:
        """Return a right answer that was never used, to a pending login; may move the clock on.

        Args:
            login: What the password step answered, to whomever.
        """
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

    def answer(self, house: House, username: str, login: dict[str, Any]) -> Any:
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

    def answer(self, house: House, username: str, login: dict[str, Any]) -> Any:
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


@dataclass
class PasskeyKit:
    """A security key that asks for its PIN."""

    method: str = "passkey"
    devices: dict[str, FakeAuthenticator] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    def set_up(self, house: House, client: TestClient, username: str) -> None:
        """Enroll it through the API."""
        house.create(username)
        device = FakeAuthenticator(is_synced=False)
        self.devices[username] = device
        self.tokens[username] = house.enroll_passkey(client, device, sign_in(client, username))

    def answer(self, house: House, username: str, login: dict[str, Any]) -> Any:
        """Sign the challenge of the login, whoever's it is."""
        device = self.devices[username]
        return device.sign(device.passkeys[0], challenge_of(login))

    def wrong_answers(self) -> list[Any]:
        """Return answers of a device that belongs to nobody."""
        device = FakeAuthenticator()
        device.create(
            {
                "rp": {"id": "localhost"},
                "user": {"id": "AAAA"},
                "pubKeyCredParams": [{"alg": -7}],
                "challenge": "AAAA",
            }
        )
        return [device.sign(device.passkeys[0], "AAAA" * 8) for _ in range(2)]

    def remove(self, house: House, client: TestClient, username: str) -> None:
        """Enroll another key, then remove the first one."""
        tokens = house.enroll_passkey(client, FakeAuthenticator(), self.tokens[username])
        first = self.tokens[username]["factor"]["id"]
        removed = client.delete(f"/api/factors/{first}", headers=bearer(tokens))
        assert removed.status_code == 200, removed.text


def challenge_of(login: dict[str, Any]) -> str:
    """Return the challenge that a pending login has for passkeys; any where it has none."""
    options = [one["options"] for one in login["methods"] if one["method"] == "passkey"]
    return str(options[0]["challenge"]) if options else "AAAA"


@dataclass
class EmailCodeKit:
    """A mailbox, whose owner asks for a code and reads it there."""

    method: str = "email_code"
    clients: dict[str, TestClient] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    def set_up(self, house: House, client: TestClient, username: str) -> None:
        """Enroll it through the API."""
        house.create(username)
        self.clients[username] = client
        headers = bearer(sign_in(client, username))
        begun = client.post("/api/factors/email_code", json={}, headers=headers).json()
        body = {"enrollment": begun["enrollment"], "answer": self._code(house, username)}
        confirmed = client.post("/api/factors/email_code/confirm", json=body, headers=headers)
        assert confirmed.status_code == 201, confirmed.text
        self.tokens[username] = confirmed.json()

    def answer(self, house: House, username: str, login: dict[str, Any]) -> Any:
        """Ask for a code to the login; to one of the owner's own where it is somebody else's."""
        client, trap = self.clients[username], EveryMail(house)
        to = f"{username}@example.com"
        before = len(trap.messages(to))
        self._begin(client, login["login"])
        if len(trap.messages(to)) == before:
            self._begin(client, begin_login(client, username)["login"])
        return self._code(house, username)

    def wrong_answers(self) -> list[Any]:
        """Return codes that fit by a chance of one in a million."""
        return ["000000", "999999", "12345678"]

    def remove(self, house: House, client: TestClient, username: str) -> None:
        """Enroll an app, then remove the mailbox."""
        headers = bearer(self.tokens[username])
        old = self.tokens[username]["factor"]["id"]
        begun = client.post("/api/factors/totp", json={}, headers=headers).json()
        phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
        body = {"enrollment": begun["enrollment"], "answer": phone.code(house.now)}
        confirmed = client.post("/api/factors/totp/confirm", json=body, headers=headers)
        removed = client.delete(f"/api/factors/{old}", headers=bearer(confirmed.json()))
        assert removed.status_code == 200, removed.text

    def _begin(self, client: TestClient, login: str) -> None:
        client.post("/api/login/email_code/begin", json={"login": login})

    def _code(self, house: House, username: str) -> str:
        return code_in(EveryMail(house), f"{username}@example.com")


def code_in(trap: MailTrap, to: str) -> str:
    """Return the newest code that was mailed to an address."""
    return codes_in(trap, to)[-1]


def codes_in(trap: MailTrap, to: str) -> list[str]:
    """Return the codes that were mailed to an address, the oldest first."""
    bodies = [message.get_body(("plain",)) for message in trap.messages(to)]
    texts = [body.get_content() for body in bodies if body is not None]
    return [code for text in texts for code in re.findall(r"^(\d{6})\r?$", text, re.MULTILINE)]


KITS: list[type[Kit]] = [TotpKit, RecoveryCodesKit, PasskeyKit, EmailCodeKit]
