"""A new e-mail address: confirmed in the new mailbox, stopped from the old one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.home import Home
from tests.support.house import House, bearer, begin_login, sign_in, token
from twinlock.testing.mail import MailTrap

OLD, NEW = "johndoe@example.com", "john@example.org"


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


def change(client: TestClient, tokens: dict[str, Any], email: str = NEW) -> Any:
    return client.post("/api/account/email", json={"email": email}, headers=bearer(tokens))


def confirm(client: TestClient, token: str) -> Any:
    return client.post("/api/recovery/email/confirm", json={"token": token})


def cancel(client: TestClient, token: str) -> Any:
    return client.post("/api/recovery/email/cancel", json={"token": token})


def email_of(client: TestClient, tokens: dict[str, Any]) -> Any:
    return client.get("/users/me", headers=bearer(tokens)).json().get("email")


def test_the_change_takes_hold_when_the_new_mailbox_confirms_it(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    before, other = sign_in(client), sign_in(client)

    begun = change(client, before)

    assert begun.status_code == 200
    now = begun.json()
    assert email_of(client, now) == OLD
    for old in (before, other):
        assert client.get("/users/me", headers=bearer(old)).status_code == 401
    assert confirm(client, trap.token(NEW)).json() == {"status": "email_changed"}
    assert client.get("/users/me", headers=bearer(now)).status_code == 401
    assert token(client, NEW, "correct horse battery staple").status_code == 200
    assert token(client, OLD, "correct horse battery staple").status_code == 400
    assert trap.subjects(OLD)[-1] == "Twinlock: your e-mail address was changed"


def test_a_confirmation_works_once(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    change(client, sign_in(client))
    link = trap.token(NEW)

    assert [confirm(client, link).status_code for _ in range(2)] == [200, 400]


def test_the_old_mailbox_can_stop_it(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    change(client, sign_in(client))
    link, stop = trap.token(NEW), trap.token(OLD)

    assert cancel(client, stop).json() == {"status": "email_change_cancelled"}

    assert confirm(client, link).json()["type"] == "link_invalid"
    assert cancel(client, stop).json()["type"] == "link_invalid"
    assert house.account().email == OLD


def test_nothing_is_left_to_stop_afterwards(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    change(client, sign_in(client))
    stop = trap.token(OLD)
    confirm(client, trap.token(NEW))

    assert cancel(client, stop).json()["type"] == "link_invalid"
    assert house.account().email == NEW


def test_a_second_change_voids_the_first(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    tokens = change(client, sign_in(client)).json()
    first = trap.token(NEW)
    change(client, tokens, "third@example.org")

    assert confirm(client, first).json()["type"] == "link_invalid"
    assert confirm(client, trap.token("third@example.org")).status_code == 200


def test_an_unverified_address_is_verified_the_same_way(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create(is_email_verified=False)
    tokens = sign_in(client)
    assert client.get("/api/account", headers=bearer(tokens)).json()["email_verified"] is False

    change(client, tokens, OLD)

    assert len(trap.messages()) == 1
    assert confirm(client, trap.token(OLD)).status_code == 200
    assert token(client, OLD, "correct horse battery staple").status_code == 200


def test_a_new_address_gets_no_cancel_link_to_an_unverified_old_one(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create(is_email_verified=False)

    change(client, sign_in(client))

    assert [str(one["To"]) for one in trap.messages()] == [NEW]


def test_it_needs_an_existing_second_factor_just_now(settle: Callable[..., Home]) -> None:
    home = settle(fresh_proof_lifetime=timedelta(minutes=5))
    home.house.clock.advance(minutes=5, seconds=1)

    refused = change(home.client, home.john.tokens)

    assert refused.status_code == 401
    assert 'acr_values="aal2"' in refused.headers["WWW-Authenticate"]
    trap = MailTrap(lambda: home.house.auth)
    assert NEW not in [str(one["To"]) for one in trap.messages()]


def test_only_the_mailbox_learns_that_an_address_is_taken(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    house.create("jane", email=NEW)

    assert change(client, sign_in(client)).status_code == 200

    assert confirm(client, trap.token(NEW)).json()["type"] == "email_taken"
    assert house.account().email == OLD
    assert begin_login(client)["status"] == "signed_in"


@pytest.mark.parametrize(
    "email, type_",
    [
        (OLD, "email_unchanged"),
        ("JOHNDOE@EXAMPLE.COM", "email_unchanged"),
        ("nobody", "email_syntax"),
        ("a@example.org\r\nBcc: b@example.org", "email_invisible_character"),
    ],
)
def test_what_cannot_be_is_refused(
    house: House, client: TestClient, trap: MailTrap, email: str, type_: str
) -> None:
    house.create()
    tokens = sign_in(client)

    refused = change(client, tokens, email)

    assert (refused.status_code, refused.json()["type"]) == (400, type_)
    assert trap.messages() == []
    assert email_of(client, tokens) == OLD


def test_a_mailbox_gets_five_a_day_from_all_accounts(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    answers = []
    for number in range(2):
        house.create(f"user{number}")
        tokens = sign_in(client, f"user{number}")
        for _ in range(3):
            answers.append(change(client, tokens))
            tokens = answers[-1].json() if answers[-1].status_code == 200 else tokens

    assert [one.status_code for one in answers] == [200] * 5 + [400]
    assert answers[-1].json()["type"] == "too_many_mails"
    assert len(trap.messages(NEW)) == 5


def test_proof_comes_before_the_words_of_a_request(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    """A stale session learns nothing, not even whether an address can be one."""
    house.create()
    tokens = sign_in(client)
    house.clock.advance(minutes=10, seconds=1)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    stale = client.post("/token", data=form).json()

    for email in ("no address", "johndoe@example.com", NEW):
        answer = change(client, stale, email)
        assert answer.status_code == 401, answer.text
        assert answer.json()["type"] == "insufficient_user_authentication"
