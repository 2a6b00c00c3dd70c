"""What people call themselves and their things cannot bend a mail, nor lead anybody anywhere."""

import re

import pytest
from fastapi.testclient import TestClient

from tests.support.house import House, bearer, sign_in
from twinlock.mail.values import harmless
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap

JOHN = "johndoe@example.com"
LURES = [
    "https://evil.example/now",
    "call www.evil.example",
    "evil.example",
    "help@evil.example",
    "ftp://evil.example:99/x",
    "evil\u3002example",
]
_ADDRESS = re.compile(r"\w([.@\u3002]\w|://)", re.ASCII)


@pytest.mark.parametrize("lure", LURES)
def test_a_label_is_no_link_in_a_mail(sqlite_house: House, lure: str) -> None:
    """Mail programs make links of what looks like one, in text as in HTML."""
    trap = MailTrap(lambda: sqlite_house.auth)
    with sqlite_house.open() as client:
        sqlite_house.create()
        headers = bearer(sign_in(client))
        begun = client.post("/api/factors/totp", json={}, headers=headers).json()
        phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
        body = {"enrollment": begun["enrollment"], "answer": phone.code(sqlite_house.now)}
        body["label"] = lure
        confirmed = client.post("/api/factors/totp/confirm", json=body, headers=headers)
        assert confirmed.json()["factor"]["label"] == lure

        [message] = trap.messages(JOHN)

    for part in message.walk():
        if part.get_content_maintype() == "text":
            text = part.get_content()
            [line] = [one for one in text.splitlines() if "got a second factor" in one]
            told = line.partition("got a second factor:")[2]
            assert not _ADDRESS.search(told), told
            assert "href" not in line


def test_a_user_name_is_no_link_in_the_mail_to_a_stranger(sqlite_house: House) -> None:
    """Who names a stranger's mailbox must not write to it."""
    trap = MailTrap(lambda: sqlite_house.auth)
    with sqlite_house.open() as client:
        sqlite_house.create("www.evil.example", email="evil@example.com")
        headers = bearer(sign_in(client, "www.evil.example"))
        asked = client.post(
            "/api/account/email", json={"email": "victim@example.org"}, headers=headers
        )
        assert asked.status_code == 200

        [message] = trap.messages("victim@example.org")

    assert "evil.example" not in message.as_string()


def test_a_user_name_as_mails_show_it_signs_in(house: House, client: TestClient) -> None:
    house.create("john.doe")

    assert sign_in(client, harmless("john.doe"))["token_type"] == "bearer"


@pytest.mark.parametrize(
    "text, line",
    [
        ("Phone", "Phone"),
        ("John's  <b>phone</b>", "John's <b>phone</b>"),
        ("two\r\nlines\u2028more", "two lines more"),
        ("a\u202egnp.exe", "agnp.\u200cexe"),
        ("a\u200bb\x00c\x1b[31m", "abc[31m"),
        ("x" * 65, "x" * 63 + "…"),
        ("\u05d0\u05d1 1", "\u2068\u05d0\u05d1 1\u2069"),
        ("at 5: yes.", "at 5: yes."),
        ("", ""),
    ],
)
def test_what_is_shown_is_one_short_line_in_order(text: str, line: str) -> None:
    assert harmless(text) == line
