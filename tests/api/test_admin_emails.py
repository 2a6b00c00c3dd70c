"""Another e-mail address that an admin asks for waits a day, and the old mailbox can stop it."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.test_admin import admin, renewed, user
from tests.support.house import OPERATOR, PASSWORD, Enrolled, House, sign_in, token
from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.testing.mail import MailTrap

OLD = "johndoe@example.com"
NEW = "john@example.org"


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


def ask(client: TestClient, root: Enrolled, account: Account, **changes: Any) -> Any:
    path = f"/api/admin/users/{account.subject}"
    return client.patch(path, json={"email": NEW, **changes}, headers=root.bearer)


def run(house: House, **later: float) -> None:
    house.clock.advance(**later)
    house.runtime.upkeep.work()


def test_it_waits_a_day_and_then_asks_the_new_mailbox(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    root = admin(house, client)
    john = house.create()
    tokens = sign_in(client)

    asked = ask(client, root, john)
    assert asked.status_code == 200
    assert (asked.json()["email"], asked.json()["email_change"]["email"]) == (OLD, NEW)
    assert trap.subjects(OLD) == ["Twinlock: your e-mail address is about to change"]
    assert trap.messages(NEW) == []
    run(house, hours=23, minutes=59)
    assert house.account().email == OLD
    run(house, minutes=1)

    changed = house.account()
    assert (changed.email, changed.is_email_verified) == (NEW, False)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.get("/users/me", headers=headers).status_code == 401
    assert trap.subjects(OLD)[-1] == "Twinlock: your e-mail address was changed"
    assert token(client, NEW, PASSWORD).status_code == 400  # a name only once it is verified
    body = {"token": trap.token(NEW)}
    assert client.post("/api/recovery/email/confirm", json=body).status_code == 200
    assert token(client, NEW, PASSWORD).status_code == 200
    events = house.database.reading(audit.list_events, limit=2, type_=EventType.EMAIL_CHANGED)
    assert {one.actor for one in events} == {f"admin:{root.account.subject}", None}


def test_the_old_mailbox_stops_it_once(house: House, client: TestClient, trap: MailTrap) -> None:
    root = admin(house, client)
    john = house.create()
    ask(client, root, john)
    body = {"token": trap.token(OLD)}

    first = client.post("/api/recovery/email/cancel", json=body)
    second = client.post("/api/recovery/email/cancel", json=body)

    assert (first.status_code, second.status_code) == (200, 400)
    assert user(client, root.bearer, john)["email_change"] is None
    run(house, hours=25)
    assert house.account().email == OLD


def test_an_admin_calls_it_off(house: House, client: TestClient, trap: MailTrap) -> None:
    root = admin(house, client)
    john = house.create()
    ask(client, root, john)
    link = {"token": trap.token(OLD)}
    path = f"/api/admin/users/{john.subject}/email_change"
    twice = ask(client, root, john)
    assert (twice.status_code, twice.json()["type"]) == (400, "email_change_pending")

    assert client.delete(path, headers=root.bearer).status_code == 204
    assert client.delete(path, headers=root.bearer).status_code == 404

    assert client.post("/api/recovery/email/cancel", json=link).status_code == 400
    run(house, hours=25)
    assert house.account().email == OLD


@pytest.mark.parametrize("change", ["owner", "admin_demoted", "taken"])
def test_what_changes_meanwhile_voids_it(house: House, client: TestClient, change: str) -> None:
    root = admin(house, client)
    admin(house, client, "other")
    john = house.create()
    ask(client, root, john)

    match change:
        case "owner":
            house.administration.change(house.account(), OPERATOR, roles=["x"], now=house.now)
        case "admin_demoted":
            boss = house.account("root")
            house.administration.change(boss, OPERATOR, roles=[], now=house.now)
        case _:
            house.create("thief", email=NEW)
    run(house, hours=25)

    assert house.account().email == OLD
    events = house.database.reading(
        audit.list_events, limit=1, type_=EventType.EMAIL_CHANGE_CANCELLED
    )
    assert len(events) == 1


def test_roles_and_address_change_in_one_request(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    root = admin(house, client)
    john = house.create()

    assert ask(client, root, john, roles=["staff"]).json()["roles"] == ["staff"]

    run(house, hours=24)
    assert house.account().email == NEW


def test_what_cannot_be_asked_for_changes_nothing(house: House, client: TestClient) -> None:
    root = admin(house, client)
    john = house.create()
    house.create("jane", email="jane@example.org")

    def refused(account: Account, email: str) -> str:
        roles = [*account.roles, "staff"]
        answer = ask(client, root, account, email=email, roles=roles)
        assert answer.status_code == 400, answer.text
        kind: str = answer.json()["type"]
        return kind

    assert refused(john, OLD.upper()) == "email_unchanged"
    assert refused(john, "jane@example.org") == "taken"
    assert refused(john, "no address") != "taken"
    assert refused(root.account, NEW) == "own_account"
    assert house.account().roles == ()
    house.administration.disable(house.account(), OPERATOR, now=house.now)
    assert refused(house.account(), NEW) == "account_disabled"


def test_an_account_without_a_verified_address_has_nobody_to_tell_and_waits_all_the_same(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    root = admin(house, client)
    john = house.create(email="typo@example.com", is_email_verified=False)

    assert ask(client, root, john).status_code == 200
    assert trap.messages("typo@example.com") == []
    run(house, hours=23)
    assert house.account().email == "typo@example.com"
    run(house, hours=1)

    assert house.account().email == NEW
    assert renewed(house, client, root)


@pytest.mark.parametrize("end", ["dropped", "called_off"])
def test_the_end_of_it_leaves_the_link_that_stops_a_thief(
    house: House, client: TestClient, trap: MailTrap, end: str
) -> None:
    root = admin(house, client)
    john = house.create()
    if end == "dropped":  # by the upkeep, once its time has come
        ask(client, root, john)
        house.clock.advance(hours=23)
    thief = {"Authorization": f"Bearer {sign_in(client)['access_token']}"}
    body = {"email": "thief@example.net"}
    assert client.post("/api/account/email", json=body, headers=thief).status_code == 200
    stop, take = trap.token(OLD), trap.token("thief@example.net")
    if end == "dropped":
        run(house, hours=1, minutes=1)
    else:
        ask(client, root, house.account())
        path = f"/api/admin/users/{john.subject}/email_change"
        assert client.delete(path, headers=root.bearer).status_code == 204

    assert client.post("/api/recovery/email/cancel", json={"token": stop}).status_code == 200
    assert client.post("/api/recovery/email/confirm", json={"token": take}).status_code == 400
    assert house.account().email == OLD


def test_it_waits_on_while_the_new_mailbox_was_asked_too_often(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    """Or the account would have an address that counts for nothing, and no link to verify it."""
    root = admin(house, client)
    john = house.create()
    assert ask(client, root, john).status_code == 200
    house.clock.advance(hours=23)
    house.create("stranger")
    tokens = sign_in(client, "stranger")
    for _ in range(5):  # a mailbox is asked five times a day, whoever wants it
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        asked = client.post("/api/account/email", json={"email": NEW}, headers=headers)
        assert asked.status_code == 200, asked.text
        tokens = asked.json()
    before = len(trap.messages(NEW))

    run(house, hours=2)
    assert house.account().email == OLD
    assert token(client, OLD, PASSWORD).status_code == 200

    run(house, hours=23)
    assert house.account().email == NEW
    assert len(trap.messages(NEW)) == before + 1
    body = {"token": trap.token(NEW)}
    assert client.post("/api/recovery/email/confirm", json=body).status_code == 200
