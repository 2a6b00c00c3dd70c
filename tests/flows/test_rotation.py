"""The master keys rotate while a server runs: interrupted, resumed, and no login fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text

from tests.support.house import OPERATOR, PASSWORD, Enrolled, House, bearer, begin_login, token
from twinlock.accounts.subjects.store import list_subjects
from twinlock.audit.events import EventType
from twinlock.composition import build_parts, close_parts
from twinlock.config.settings import load_master_keys
from twinlock.core.errors import WrongKeyError
from twinlock.core.keyring import Keyring
from twinlock.core.proof import Acr
from twinlock.core.secrets import to_base64url
from twinlock.flows.factor_administration import Removed
from twinlock.flows.parts import Parts
from twinlock.flows.rotation import NOTICE, SecretRotation
from twinlock.installation.key_file import read_keys
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator

SEALED = (
    "key_check from installation",
    "digest_key from installation",
    "private_key from signing_key",
    "key from totp",
    "public_key from passkey",
    "seal from subject",
    "seal from session where ended_at is null",
    "seal from trusted_device",
    "seal from policy",
)
PEOPLE = ("johndoe", "alice", "bob")


class StoppedError(Exception):
    """What a kill between two transactions is to the code."""


@contextmanager
def operator(house: House) -> Iterator[Parts]:
    """The installation as another process opens it: the one that an operator runs."""
    parts = build_parts(house.settings, clock=house.clock)
    try:
        yield parts
    finally:
        close_parts(parts)


@pytest.fixture
def people(house: House, client: TestClient) -> dict[str, Enrolled]:
    """Accounts with TOTP, on a server that runs."""
    for name in PEOPLE:
        house.create(name)
    enrolled = {name: house.enroll(client, name) for name in PEOPLE}
    house.clock.advance(seconds=30)
    login = begin_login(client)["login"]
    code = enrolled["johndoe"].phone.code(house.now)
    body = {"login": login, "answer": code, "trust_device": True}
    trusted = client.post("/api/login/totp", json=body)
    assert client.post("/api/logout", headers=bearer(trusted.json())).status_code == 204
    new = Policy(Kind.EVERYONE, "", Acr.AAL2, house.now, trusts_devices=True)
    house.policy_administration.set_policy(new, OPERATOR, now=house.now)
    return enrolled


def newest(house: House) -> bytes:
    return load_master_keys(house.settings)[0]


def begin(house: House, rotation: SecretRotation) -> None:
    rotation.add_key(house.settings.secret_keys_file, newest=newest(house))


def rotate(house: House) -> None:
    with operator(house) as parts:
        rotation = SecretRotation(parts)
        begin(house, rotation)
        rotation.reseal(OPERATOR, progress=ignore)


def drop(house: House) -> int:
    with operator(house) as parts:
        path = house.settings.secret_keys_file
        return SecretRotation(parts).drop_old_keys(path, newest(house), OPERATOR, now=house.now)


def ignore(fraction: float) -> None:
    assert 0 <= fraction <= 1


def sign_in(house: House, client: TestClient, enrolled: Enrolled) -> None:
    """Sign in with password and code, each code once."""
    house.clock.advance(seconds=30)
    code = enrolled.phone.code(house.now)
    answered = token(client, enrolled.account.username, PASSWORD + code)
    assert answered.status_code == 200, answered.text


def sealed_values(house: House) -> list[bytes]:
    """Everything at rest that carries the id of a master key."""

    def read(db: Connection) -> list[bytes]:
        return [bytes(row[0]) for column in SEALED for row in db.execute(text(f"select {column}"))]

    return house.database.reading(read)


def stale(house: House, ring: Keyring) -> int:
    values = sealed_values(house)
    return sum(ring.is_stale_seal(one) and ring.is_stale_mac(one) for one in values)


# --- while a server runs --------------------------------------------------------------------


def test_everything_at_rest_comes_under_the_new_key(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    rotate(house)

    ring = Keyring([newest(house)])
    assert len(read_keys(house.settings.secret_keys_file, must_be_private=True)) == 2
    assert stale(house, ring) == 0
    assert len(sealed_values(house)) == 2 + 1 + 3 * len(PEOPLE) + 2


def test_passkeys_come_under_the_new_key_and_sign_in(house: House, client: TestClient) -> None:
    device = FakeAuthenticator()
    house.create()
    tokens = token(client, "johndoe", PASSWORD).json()
    house.enroll_passkey(client, device, tokens)

    rotate(house)

    assert stale(house, Keyring([newest(house)])) == 0
    begun = client.post("/api/passkey/begin", json={}).json()
    body = {"login": begun["login"], "answer": device.get(begun["options"])}
    assert client.post("/api/passkey/finish", json=body).status_code == 200


def test_logins_go_on_through_every_step_of_a_rotation(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    """Goal R6: the server never restarts, and meets each value in its old and its new state."""

    def everybody() -> None:
        for enrolled in people.values():
            sign_in(house, client, enrolled)

    with operator(house) as parts:
        rotation = SecretRotation(parts, batch=1, pause=everybody)
        begin(house, rotation)
        everybody()
        rotation.reseal(OPERATOR, progress=ignore)

    everybody()


def test_a_stopped_rotation_goes_on_with_the_same_key(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    def stop() -> None:
        raise StoppedError

    with operator(house) as parts:
        rotation = SecretRotation(parts, batch=1, pause=stop)
        begin(house, rotation)
        with pytest.raises(StoppedError):
            rotation.reseal(OPERATOR, progress=ignore)
    ring = Keyring([newest(house)])
    assert 0 < stale(house, ring) < len(sealed_values(house))
    for enrolled in people.values():
        sign_in(house, client, enrolled)

    with operator(house) as parts:
        resumed = SecretRotation(parts)
        assert resumed.is_unfinished()
        resumed.reseal(OPERATOR, progress=ignore)
        assert not resumed.is_unfinished()

    assert stale(house, ring) == 0
    for enrolled in people.values():
        sign_in(house, client, enrolled)


def test_a_restarted_server_reads_a_half_rotated_database(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    def stop() -> None:
        raise StoppedError

    with operator(house) as parts:
        rotation = SecretRotation(parts, batch=1, pause=stop)
        begin(house, rotation)
        with pytest.raises(StoppedError):
            rotation.reseal(OPERATOR, progress=ignore)
    house.auth.close()

    for enrolled in people.values():
        sign_in(house, client, enrolled)


def test_an_enrollment_begun_before_the_rotation_is_finished_after_it(
    house: House, client: TestClient
) -> None:
    house.create()
    headers = bearer(token(client, "johndoe", PASSWORD).json())
    begun = client.post("/api/factors/totp", json={}, headers=headers).json()

    rotate(house)

    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    body = {"enrollment": begun["enrollment"], "answer": phone.code(house.now), "label": "Phone"}
    assert client.post("/api/factors/totp/confirm", json=body, headers=headers).status_code == 201


def test_tokens_from_before_the_rotation_live_on(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    tokens = people["johndoe"].tokens
    rotate(house)

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

    assert client.get("/users/me", headers=bearer(tokens)).status_code == 200
    assert client.post("/token", data=form).status_code == 200


def test_two_rotations_at_once_add_one_key(house: House, client: TestClient) -> None:
    before = newest(house)
    path = house.settings.secret_keys_file
    with operator(house) as first, operator(house) as second:
        SecretRotation(first).add_key(path, newest=before)
        SecretRotation(second).add_key(path, newest=before)

        assert first.keyring.ids == second.keyring.ids
    assert len(read_keys(path, must_be_private=True)) == 2


def test_a_rotation_is_audited_once(house: House, client: TestClient) -> None:
    rotate(house)
    with operator(house) as parts:
        SecretRotation(parts).reseal(OPERATOR, progress=ignore)

    types = house.database.reading(
        lambda db: list(db.execute(text("select type from event")).scalars())
    )
    assert types.count(EventType.SECRET_ROTATED) == 1


# --- somebody has got at the database -------------------------------------------------------


def test_a_seal_that_does_not_hold_is_not_renewed(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    """Sealing it again would turn a deleted factor into an account without one."""
    victim = people["alice"].account.subject
    house.database.transaction(
        lambda tx: tx.execute(
            text("delete from authenticator where subject_id = :id"), {"id": victim}
        )
    )

    with operator(house) as parts:
        rotation = SecretRotation(parts)
        begin(house, rotation)
        done = rotation.reseal(OPERATOR, progress=ignore)

    assert done.broken == (f"subject {victim}",)
    assert token(client, "alice", PASSWORD).status_code == 400
    sign_in(house, client, people["bob"])


def test_a_totp_key_that_does_not_open_is_told_and_stops_nobody_else(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    """A key copied from one account's row to another's opens in neither (security, 8)."""
    source, target = (people[name].account.subject for name in ("alice", "bob"))
    house.database.transaction(
        lambda tx: tx.execute(
            text(
                "update totp set key = (select key from totp where subject_id = :source) "
                "where subject_id = :target"
            ),
            {"source": source, "target": target},
        )
    )

    with operator(house) as parts:
        rotation = SecretRotation(parts)
        begin(house, rotation)
        done = rotation.reseal(OPERATOR, progress=ignore)

    assert len(done.broken) == 1
    assert done.broken[0].startswith("totp ")
    sign_in(house, client, people["alice"])


def test_a_deleted_account_needs_no_seal(house: House, client: TestClient) -> None:
    account = house.create()
    house.administration.delete(account, OPERATOR, now=house.now)

    with operator(house) as parts:
        rotation = SecretRotation(parts)
        begin(house, rotation)
        done = rotation.reseal(OPERATOR, progress=ignore)

    assert done.broken == ()


def test_an_account_that_awaits_an_enrollment_still_awaits_it(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    account = house.account("alice")
    assert isinstance(house.factor_administration.reset(account, OPERATOR, now=house.now), Removed)

    rotate(house)

    rows = house.database.reading(list_subjects, after="", limit=10)
    assert {row.id: row.awaits_enrollment for row in rows}[account.subject]
    assert token(client, "alice", PASSWORD).status_code == 403


# --- dropping the old keys ------------------------------------------------------------------


def test_after_the_drop_logins_go_on_without_the_old_key(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    rotate(house)

    assert drop(house) == 1

    assert read_keys(house.settings.secret_keys_file, must_be_private=True) == [newest(house)]
    house.runtime.parts.keyring.look_again()
    for enrolled in people.values():
        sign_in(house, client, enrolled)
    assert house.runtime.parts.keyring.ids == [Keyring([newest(house)]).newest_id]


def test_a_database_brought_under_the_new_key_needs_no_other(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    old = newest(house)
    rotate(house)
    drop(house)

    house.auth.close()

    sign_in(house, client, people["bob"])
    house.settings.secret_keys_file.unlink()
    write_key(house, old)
    with pytest.raises(WrongKeyError), operator(house):
        pass


def write_key(house: House, key: bytes) -> None:
    descriptor = os.open(house.settings.secret_keys_file, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(to_base64url(key) + "\n")


def test_sessions_with_older_refresh_tokens_are_counted(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    rotate(house)
    house.clock.advance(seconds=NOTICE.total_seconds() + 1)
    with operator(house) as parts:
        before = SecretRotation(parts).uses_of_old_keys(now=house.now)

    refresh = people["bob"].tokens["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert client.post("/token", data=form).status_code == 200
    with operator(house) as parts:
        after = SecretRotation(parts).uses_of_old_keys(now=house.now)

    assert before.sessions == len(PEOPLE)
    assert after.sessions == len(PEOPLE) - 1
    assert after.any


def test_a_token_issued_while_servers_may_not_know_yet_counts_as_old(
    house: House, client: TestClient
) -> None:
    house.create()
    rotate(house)
    token(client, "johndoe", PASSWORD)
    house.clock.advance(seconds=NOTICE.total_seconds())

    with operator(house) as parts:
        assert SecretRotation(parts).uses_of_old_keys(now=house.now).sessions == 1


def test_an_enrollment_under_way_counts_as_a_use(house: House, client: TestClient) -> None:
    house.create()
    headers = bearer(token(client, "johndoe", PASSWORD).json())
    client.post("/api/factors/totp", json={}, headers=headers)
    rotate(house)

    with operator(house) as parts:
        assert SecretRotation(parts).uses_of_old_keys(now=house.now).pending == 1
        later = house.now + timedelta(minutes=11)
        assert SecretRotation(parts).uses_of_old_keys(now=later).pending == 0


def test_access_tokens_outlive_the_old_key(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    rotate(house)
    drop(house)
    house.runtime.parts.keyring.look_again()
    house.auth.close()

    assert client.get("/users/me", headers=bearer(people["bob"].tokens)).status_code == 200


def test_a_session_put_there_by_somebody_is_not_sealed(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    """Not even when it names an account that exists."""
    victim = people["alice"].account.subject
    house.database.transaction(
        lambda tx: tx.execute(text("update session set subject_id = :id"), {"id": victim})
    )

    rotate(house)

    house.auth.close()
    assert client.get("/users/me", headers=bearer(people["bob"].tokens)).status_code == 401


def test_old_refresh_tokens_end_with_the_old_key(
    house: House, client: TestClient, people: dict[str, Enrolled]
) -> None:
    rotate(house)
    drop(house)
    house.runtime.parts.keyring.look_again()

    refresh = people["bob"].tokens["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh}

    assert client.post("/token", data=form).status_code == 400


def test_a_pending_login_without_state_does_not_count(house: House, client: TestClient) -> None:
    house.create()
    house.enroll(client)
    begin_login(client)
    rotate(house)

    with operator(house) as parts:
        assert SecretRotation(parts).uses_of_old_keys(now=house.now).pending == 0
