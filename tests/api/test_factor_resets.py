"""A reset that an admin asked for: its owner hears of it, can stop it, and finds the way back."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Executable, insert, select, text, update

from tests.api.test_admin import admin, renewed, user
from tests.support.house import OPERATOR, PASSWORD, Enrolled, House, begin_login, token
from twinlock.accounts.resets.tables import factor_reset
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.config.settings import load_master_keys
from twinlock.flows.rotation import SecretRotation
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap

JOHN = "johndoe@example.com"
ABOUT_TO_BE = "Twinlock: your second factors are about to be removed"
REMOVED = "Twinlock: your second factors were removed"


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


def stage(house: House, client: TestClient, name: str = "johndoe") -> tuple[Enrolled, Enrolled]:
    """Ask for the reset of somebody; return the admin and the owner."""
    root = admin(house, client)
    house.create(name)
    owner = house.enroll(client, name)
    assert ask(client, root, owner).status_code == 202
    return root, owner


def ask(client: TestClient, root: Enrolled, owner: Enrolled) -> Any:
    path = f"/api/admin/users/{owner.account.subject}/factor_reset"
    return client.post(path, headers=root.bearer)


def stop(client: TestClient, token: str) -> Any:
    return client.post("/api/recovery/factors/cancel", json={"token": token})


def run(house: House, **later: float) -> None:
    house.clock.advance(**later)
    house.runtime.upkeep.work()


def has_factors(house: House, client: TestClient, root: Enrolled, owner: Enrolled) -> bool:
    return bool(user(client, renewed(house, client, root), owner.account)["factors"])


def test_the_owner_stops_it_with_the_mailed_link_once(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    root, john = stage(house, client)
    assert trap.subjects(JOHN)[-1] == ABOUT_TO_BE
    link = trap.token(JOHN)

    stopped, again = stop(client, link), stop(client, link)

    assert (stopped.status_code, stopped.json()["status"]) == (200, "factor_reset_cancelled")
    assert (again.status_code, again.json()["type"]) == (400, "link_invalid")
    assert user(client, root.bearer, john.account)["factor_reset"] is None
    run(house, hours=25)
    assert has_factors(house, client, root, john)
    assert REMOVED not in trap.subjects(JOHN)
    event = house.database.reading(
        audit.list_events, limit=1, type_=EventType.FACTOR_RESET_CANCELLED
    )[0]
    assert (event.subject_id, event.actor, event.details) == (
        john.account.subject,
        None,
        '{"by": "owner"}',
    )


def test_the_link_works_as_long_as_there_is_something_to_stop(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    """The reset of an admin that nobody approves waits for seven days, and so does its link."""
    first, target = admin(house, client), admin(house, client, "target")
    assert ask(client, first, target).status_code == 202
    link = trap.token("target@example.com")

    run(house, days=6, hours=23)
    assert stop(client, link).status_code == 200

    run(house, hours=2)
    root = admin(house, client, "third")
    assert ask(client, root, target).status_code == 202
    link = trap.token("target@example.com")
    run(house, days=7)
    assert stop(client, link).status_code == 400


def test_a_link_dies_with_the_reset_it_would_stop(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    root, john = stage(house, client)
    first = trap.token(JOHN)
    path = f"/api/admin/users/{john.account.subject}/factor_reset"
    client.delete(path, headers=root.bearer)
    assert stop(client, first).status_code == 400

    client.post(path, headers=root.bearer)
    second = trap.token(JOHN)
    assert stop(client, first).status_code == 400
    run(house, hours=24)

    assert stop(client, second).status_code == 400
    assert not has_factors(house, client, root, john)


def test_the_owner_comes_back_with_password_and_mailed_link(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    stage(house, client)
    run(house, hours=24)
    assert trap.subjects(JOHN)[-1] == REMOVED
    link = trap.token(JOHN)
    assert "/enrollment/link/" in trap.link(JOHN)
    assert client.get("/users/me").status_code == 401  # the link alone opens nothing

    login = begin_login(client)
    assert (login["status"], login["link_required"]) == ("enrollment_required", True)
    body = {"login": login["login"], "token": link}
    without = client.post("/api/enrollment/totp", json={"login": login["login"]})
    assert (without.status_code, without.json()["type"]) == (403, "enrollment_link_required")
    begun = client.post("/api/enrollment/totp", json=body).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    confirmed = client.post(
        "/api/enrollment/totp/confirm",
        json={
            "login": login["login"],
            "enrollment": begun["enrollment"],
            "answer": phone.code(house.now),
            "label": "New phone",
        },
    )

    assert confirmed.status_code == 200
    assert confirmed.json()["acr"] == "aal2"
    assert len(confirmed.json()["recovery_codes"]) == 10


def test_the_mailed_way_back_ends_after_a_day(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    stage(house, client)
    run(house, hours=24)
    link = trap.token(JOHN)
    house.clock.advance(hours=24)

    body = {"login": begin_login(client)["login"], "token": link}
    assert client.post("/api/enrollment/totp", json=body).status_code == 401


@pytest.mark.parametrize("email", [None, "johndoe@example.com"])
def test_nothing_is_staged_that_its_owner_could_not_hear_of(
    house: House, client: TestClient, email: str | None
) -> None:
    root = admin(house, client)
    house.create(email=email)
    john = house.enroll(client)
    unverify = text("UPDATE account SET email_verified_at = NULL WHERE username = 'johndoe'")
    house.database.transaction(lambda tx: tx.execute(unverify))

    refused = ask(client, root, john)

    assert (refused.status_code, refused.json()["type"]) == (400, "owner_unreachable")
    assert user(client, root.bearer, john.account)["factor_reset"] is None


def test_a_disabled_account_is_enabled_first(house: House, client: TestClient) -> None:
    root = admin(house, client)
    house.create()
    john = house.enroll(client)
    house.administration.disable(house.account(), OPERATOR, now=house.now)

    assert ask(client, root, john).json()["type"] == "account_disabled"


def test_no_reset_goes_without_its_notice(house: House, client: TestClient, trap: MailTrap) -> None:
    """Asking and taking back five times uses up the day's notices, and the sixth is refused."""
    root, john = stage(house, client)
    path = f"/api/admin/users/{john.account.subject}/factor_reset"
    for _ in range(4):
        client.delete(path, headers=root.bearer)
        assert ask(client, root, john).status_code == 202
    client.delete(path, headers=root.bearer)

    assert ask(client, root, john).json()["type"] == "too_many_mails"
    assert trap.subjects(JOHN).count(ABOUT_TO_BE) == 5
    house.clock.advance(hours=24)
    client.post(path, headers=renewed(house, client, root))
    assert trap.subjects(JOHN).count(ABOUT_TO_BE) == 6


def test_the_operators_reset_mails_what_it_prints(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    house.enroll(client)

    reset = house.factor_administration.reset(house.account(), OPERATOR, now=house.now)

    assert getattr(reset, "link", None) == trap.token(JOHN)
    assert token(client, "johndoe", PASSWORD).json()["error"] == "enrollment_required"


def test_garbage_stops_nothing(house: House, client: TestClient, trap: MailTrap) -> None:
    root, john = stage(house, client)
    recovery = client.post("/api/recovery/password", json={"username": "johndoe"})
    assert recovery.status_code == 202
    of_another_kind = trap.token(JOHN)

    for wrong in ("", "x", "\x00", "é" * 64, of_another_kind):
        assert stop(client, wrong).status_code in {400, 422}

    assert user(client, root.bearer, john.account)["factor_reset"] is not None


# --- Somebody who writes the database, and holds no master key ---------------------------------


def planted(house: House, root: Enrolled, owner: Enrolled) -> Executable:
    """Return a reset whose time has come, from an admin who exists."""
    begun = house.now - timedelta(hours=30)
    return insert(factor_reset).values(
        subject_id=owner.account.subject,
        generation=house.account(owner.account.username).generation,
        requested_by=root.account.subject,
        requested_at=begun,
        due_at=begun + timedelta(hours=24),
        expires_at=begun + timedelta(days=7),
        seal=bytes(36),
    )


def write(house: House, statement: Executable) -> None:
    house.database.transaction(lambda tx: tx.execute(statement))


def test_a_reset_that_was_written_into_the_database_takes_no_factor_away(
    house: House, client: TestClient, trap: MailTrap, caplog: pytest.LogCaptureFixture
) -> None:
    root = admin(house, client)
    house.create("johndoe")
    john = house.enroll(client, "johndoe")
    write(house, planted(house, root, john))

    run(house, seconds=30)

    assert token(client, "johndoe", PASSWORD).json()["error"] == "mfa_required"
    assert REMOVED not in trap.subjects(JOHN)
    alarms = [one.getMessage() for one in caplog.records if one.levelno == logging.CRITICAL]
    assert "reset_seal_broken" in alarms
    event = house.database.reading(
        audit.list_events, limit=1, type_=EventType.FACTOR_RESET_CANCELLED
    )[0]
    assert "seal is broken" in event.details


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {"due_at": LONG_AGO},
        {"expires_at": datetime(2099, 1, 1, tzinfo=UTC)},
        {"requested_at": LONG_AGO},
        {"requested_by": "5" * 32},
        {"approved_by": "5" * 32},
        {"seal": b""},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_a_reset_that_was_changed_in_the_database_is_dropped(
    house: House, client: TestClient, trap: MailTrap, change: dict[str, object]
) -> None:
    root, john = stage(house, client)

    write(house, update(factor_reset).values(**change))

    assert user(client, renewed(house, client, root), john.account)["factor_reset"] is None
    run(house, hours=25)
    assert has_factors(house, client, root, john)
    assert REMOVED not in trap.subjects(JOHN)


def test_a_reset_that_was_moved_to_another_account_takes_nothing_away(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    root, _ = stage(house, client)
    house.create("mary")
    mary = house.enroll(client, "mary")
    moved = {"subject_id": mary.account.subject, "generation": house.account("mary").generation}

    write(house, update(factor_reset).values(**moved))

    run(house, hours=25)
    assert has_factors(house, client, root, mary)


def test_an_admin_asks_again_in_place_of_what_was_planted(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    root = admin(house, client)
    house.create("johndoe")
    john = house.enroll(client, "johndoe")
    write(house, planted(house, root, john))

    assert ask(client, root, john).status_code == 202
    run(house, hours=25)
    assert not has_factors(house, client, root, john)


def test_a_reset_waits_on_while_the_master_keys_are_rotated(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    """And is sealed under the new key, so that it outlives the old one."""
    root, john = stage(house, client)
    house.clock.advance(hours=1)
    parts, path = house.runtime.parts, house.settings.secret_keys_file
    rotation = SecretRotation(parts, pause=lambda: None)
    rotation.add_key(path, newest=load_master_keys(house.settings)[0])
    rotation.reseal(OPERATOR, progress=lambda fraction: None)

    (row,) = house.database.reading(lambda db: db.execute(select(factor_reset.c.seal)).all())
    assert not parts.keyring.is_stale_mac(row.seal)
    run(house, hours=24)
    assert not has_factors(house, client, root, john)
