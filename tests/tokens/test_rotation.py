"""One key signs, whoever starts or rotates at once; the others verify while they are needed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from tests.tokens import key_workers
from tests.tokens.key_workers import KEYRING, NOW
from tests.tokens.racing import race
from twinlock.core.errors import InstallationError, SealBrokenError
from twinlock.core.keyring import Keyring
from twinlock.core.proof import Acr, SubjectId
from twinlock.db.base import metadata
from twinlock.db.engine import Database
from twinlock.tokens import rotation, store
from twinlock.tokens.access_token import AccessClaims, sign, verify
from twinlock.tokens.signing_keys import KeySet, StoredKey, generate
from twinlock.tokens.tables import signing_key

LIFETIME = timedelta(minutes=10)
KEPT = LIFETIME + rotation.LATE_SIGNING
TICK = timedelta(microseconds=1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    metadata.create_all(database.engine, tables=[signing_key])
    yield database
    database.close()


def load(database: Database, *, now: datetime = NOW, keyring: Keyring = KEYRING) -> KeySet:
    return database.reading(rotation.load, keyring, now=now, token_lifetime=LIFETIME)


def ensure(database: Database, *, now: datetime = NOW) -> str:
    database.transaction(rotation.ensure_active, KEYRING, now=now)
    return load(database, now=now).active.kid


def rotate(database: Database, *, now: datetime) -> str:
    assert database.transaction(rotation.rotate, KEYRING, now=now)
    return load(database, now=now).active.kid


def change(database: Database, statement: str, **values: object) -> None:
    """Write as somebody who has got at the database would."""

    def work(tx: Connection) -> None:
        assert tx.execute(text(statement), values).rowcount == 1

    database.transaction(work)


def actives(database: Database) -> list[str]:
    return [key.kid for key in database.reading(store.find_all) if key.active]


def token_by(keys: KeySet) -> str:
    claims = AccessClaims(
        issuer="i",
        subject=SubjectId("s"),
        client_id="c",
        audience="a",
        issued_at=NOW,
        expires_at=NOW + LIFETIME,
        jti="j",
        session_id="sid",
        scope=(),
        roles=(),
        acr=Acr.AAL1,
        amr=(),
        auth_time=NOW,
    )
    return sign(claims, keys.active)


def is_verified(token: str, keys: KeySet) -> bool:
    return verify(token, keys.verification, issuer="i", audience="a", now=NOW) is not None


# --- one active key -------------------------------------------------------------------------


def test_the_first_start_makes_a_key_and_later_ones_keep_it(database: Database) -> None:
    first = ensure(database)

    assert ensure(database) == first
    assert actives(database) == [first]


def test_without_a_key_nothing_is_loaded(database: Database) -> None:
    with pytest.raises(InstallationError):
        load(database)


def test_eight_processes_on_an_empty_database_agree_on_one_key(database: Database) -> None:
    found = race(key_workers.start, database.url.render_as_string(hide_password=False))

    assert len(found) == 8
    assert len(set(found)) == 1
    assert [found[0][0]] == actives(database) == [found[0][1]]
    assert len(database.reading(store.find_all)) == 1


def test_eight_rotations_at_once_leave_one_active_key(database: Database) -> None:
    before = ensure(database)

    found = race(key_workers.rotate, database.url.render_as_string(hide_password=False))

    rotations = [is_ours for is_ours, _ in found].count(True)
    assert rotations >= 1
    assert {kid for _, kid in found} == set(actives(database))
    assert len(actives(database)) == 1
    assert actives(database) != [before]
    assert len(database.reading(store.find_all)) == 1 + rotations


def test_a_second_active_key_is_not_stored(database: Database) -> None:
    first = ensure(database)
    rival = generate(KEYRING, now=NOW)

    assert database.transaction(store.insert_active, rival) is False
    assert actives(database) == [first]


def test_only_the_key_that_signs_can_be_stopped(database: Database) -> None:
    first = ensure(database)

    assert database.transaction(store.stop_signing, "0" * 32, now=NOW) is False
    assert database.transaction(store.stop_signing, first, now=NOW) is True
    assert database.transaction(store.stop_signing, first, now=NOW) is False


# --- what is still accepted -----------------------------------------------------------------


def test_a_rotation_signs_with_the_new_key_at_once(database: Database) -> None:
    first = ensure(database)
    old = token_by(load(database))

    second = rotate(database, now=NOW)

    keys = load(database)
    assert second != first
    assert keys.active.kid == second
    assert list(keys.verification) == [second, first]
    assert is_verified(old, keys)
    assert is_verified(token_by(keys), keys)


def test_an_old_key_is_kept_while_its_tokens_can_live(database: Database) -> None:
    """With a minute more, for a process that has not heard of the rotation yet."""
    first = ensure(database)
    second = rotate(database, now=NOW)

    assert list(load(database, now=NOW + KEPT - TICK).verification) == [second, first]
    assert list(load(database, now=NOW + KEPT).verification) == [second]


def test_a_key_that_signs_is_kept_for_ever(database: Database) -> None:
    first = ensure(database)

    assert list(load(database, now=NOW + timedelta(days=3_000)).verification) == [first]


def test_a_retired_key_is_refused_at_once(database: Database) -> None:
    first = ensure(database)
    old = token_by(load(database))
    second = rotate(database, now=NOW)

    assert database.transaction(store.retire, first, now=NOW) is True

    keys = load(database)
    assert list(keys.verification) == [second]
    assert [key["kid"] for key in keys.jwks()["keys"]] == [second]
    assert not is_verified(old, keys)


def test_the_key_that_signs_cannot_be_retired_nor_one_twice(database: Database) -> None:
    first = ensure(database)
    assert database.transaction(store.retire, first, now=NOW) is False

    rotate(database, now=NOW)

    assert database.transaction(store.retire, first, now=NOW) is True
    assert database.transaction(store.retire, first, now=NOW + LIFETIME) is False
    assert database.transaction(store.retire, "0" * 32, now=NOW) is False


def test_every_key_is_listed_newest_first(database: Database) -> None:
    first = ensure(database)
    second = rotate(database, now=NOW + timedelta(days=1))
    third = rotate(database, now=NOW + timedelta(days=2))
    database.transaction(store.retire, first, now=NOW + timedelta(days=3))

    keys = database.reading(store.find_all)

    assert [key.kid for key in keys] == [third, second, first]
    assert [key.active for key in keys] == [True, False, False]
    assert [key.created_at for key in keys] == [NOW + timedelta(days=n) for n in (2, 1, 0)]
    assert [key.signed_until for key in keys] == [
        None,
        NOW + timedelta(days=2),
        NOW + timedelta(days=1),
    ]
    assert [key.retired_at for key in keys] == [None, None, NOW + timedelta(days=3)]


def test_a_key_comes_back_as_it_was_stored(database: Database) -> None:
    key = generate(KEYRING, now=NOW)

    database.transaction(store.insert_active, key)

    assert database.reading(store.get_active) == key
    assert database.reading(store.find_all) == [key]


# --- somebody has got at the database -------------------------------------------------------


def foreign() -> StoredKey:
    """A key whose private part somebody else knows, sealed as they would."""
    return generate(Keyring([b"their key, which we do not hold."]), now=NOW)


def put_their_public_key(database: Database, kid: str) -> None:
    jwk = foreign().public_jwk
    change(database, "update signing_key set public_jwk = :jwk where id = :kid", jwk=jwk, kid=kid)


def put_their_private_key(database: Database, kid: str) -> None:
    sealed = foreign().private_key
    statement = "update signing_key set private_key = :sealed where id = :kid"
    change(database, statement, sealed=sealed, kid=kid)


def flip_a_byte(database: Database, kid: str) -> None:
    keys = {key.kid: key for key in database.reading(store.find_all)}
    sealed = bytearray(keys[kid].private_key)
    sealed[-1] ^= 1
    statement = "update signing_key set private_key = :sealed where id = :kid"
    change(database, statement, sealed=bytes(sealed), kid=kid)


def name_another_algorithm(database: Database, kid: str) -> None:
    change(database, "update signing_key set algorithm = 'none' where id = :kid", kid=kid)


def rename(database: Database, kid: str) -> None:
    """A sealed key moved to another row, here to another id."""
    change(database, "update signing_key set id = :new where id = :kid", new=kid[::-1], kid=kid)


CHANGES = [
    put_their_public_key,
    put_their_private_key,
    flip_a_byte,
    name_another_algorithm,
    rename,
]


@pytest.mark.parametrize("attack", CHANGES)
def test_a_changed_active_key_signs_and_verifies_nothing(
    database: Database, attack: Callable[[Database, str], None]
) -> None:
    attack(database, ensure(database))

    with pytest.raises(SealBrokenError):
        load(database)


@pytest.mark.parametrize("attack", CHANGES)
def test_a_changed_older_key_is_left_out_and_named(
    database: Database, attack: Callable[[Database, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = ensure(database)
    old = token_by(load(database))
    second = rotate(database, now=NOW)

    attack(database, first)

    keys = load(database)
    assert list(keys.verification) == [second]
    assert keys.broken in ((first,), (first[::-1],))
    assert not is_verified(old, keys)
    assert is_verified(token_by(keys), keys)
    assert [record.message for record in caplog.records] == ["signing_key_broken"]


def test_a_key_put_beside_ours_verifies_nothing(database: Database) -> None:
    """Whoever can insert a row, but has no master key, gets no token accepted."""
    ours = ensure(database)
    theirs = replace(foreign(), active=True)
    database.transaction(store.stop_signing, ours, now=NOW)
    database.transaction(store.insert_active, theirs)
    database.transaction(store.stop_signing, theirs.kid, now=NOW)
    change(database, "update signing_key set active = true where id = :kid", kid=ours)

    keys = load(database)

    assert list(keys.verification) == [ours]
    assert keys.broken == (theirs.kid,)


# --- other master keys ----------------------------------------------------------------------


def test_keys_are_sealed_again_under_the_newest_master_key(database: Database) -> None:
    """Interrupted or repeated, every key opens under the old ring or the new at all times."""
    first = ensure(database)
    second = rotate(database, now=NOW)
    new, old = b"m" * 32, b"n" * 32

    assert database.transaction(rotation.reseal, Keyring([new, old])) == 2
    assert database.transaction(rotation.reseal, Keyring([new, old])) == 0

    assert list(load(database, keyring=Keyring([new])).verification) == [second, first]
    with pytest.raises(SealBrokenError):
        load(database, keyring=Keyring([old]))


def test_a_broken_key_does_not_keep_the_others_from_being_sealed_again(database: Database) -> None:
    first = ensure(database)
    second = rotate(database, now=NOW)
    flip_a_byte(database, first)
    new, old = b"m" * 32, b"n" * 32

    assert database.transaction(rotation.reseal, Keyring([new, old])) == 1

    keys = load(database, keyring=Keyring([new]))
    assert (keys.active.kid, keys.broken) == (second, (first,))


def test_a_seal_is_replaced_only_where_it_is_the_one_that_was_read(database: Database) -> None:
    key = generate(KEYRING, now=NOW)
    database.transaction(store.insert_active, key)

    replaced = database.transaction(store.replace_seal, key.kid, old=b"other", new=b"new")

    assert replaced is False
    assert database.reading(store.get_active) == key


def test_moments_are_aware(database: Database) -> None:
    ensure(database)
    rotate(database, now=NOW + LIFETIME)

    old = database.reading(store.find_all)[1]

    assert old.signed_until == NOW + LIFETIME
    assert old.signed_until is not None
    assert old.signed_until.tzinfo is UTC
