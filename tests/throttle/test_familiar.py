"""What an account has signed in from before, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.throttle.conftest import plan_of
from twinlock.core.proof import SubjectId
from twinlock.db.engine import Database
from twinlock.throttle.familiar import store
from twinlock.throttle.policy import BROWSER, MICROSECOND, NETWORK, Familiar, Kind

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALICE = SubjectId("a" * 32)
BOB = SubjectId("b" * 32)


def test_what_is_expired_is_found_by_its_index(throttle_sqlite_url: str) -> None:
    database = Database(throttle_sqlite_url)

    plan = database.reading(plan_of, store.EXPIRE)

    assert "ix_familiar_kind_seen_at" in plan
    database.close()


def familiar(
    database: Database,
    subject: SubjectId | None,
    now: datetime,
    *,
    network: bytes = b"n",
    browser: bytes | None = b"b",
) -> Familiar:
    return database.reading(
        store.find_familiar, subject_id=subject, network=network, browser=browser, now=now
    )


def remember(
    database: Database, kind: Kind, digest: bytes, now: datetime, subject: SubjectId = ALICE
) -> None:
    database.transaction(store.remember, subject_id=subject, kind=kind, digest=digest, now=now)


@pytest.fixture
def acquainted(database: Database) -> Database:
    """A database that knows one network and one browser of Alice's."""
    remember(database, NETWORK, b"n", NOW)
    remember(database, BROWSER, b"b", NOW)
    return database


@pytest.mark.parametrize(
    "since, expected",
    [
        (timedelta(0), Familiar(network=True, browser=True)),
        (30 * DAY - MICROSECOND, Familiar(network=True, browser=True)),
        (30 * DAY, Familiar(network=False, browser=True)),
        (180 * DAY - MICROSECOND, Familiar(network=False, browser=True)),
        (180 * DAY, Familiar(network=False, browser=False)),
    ],
)
def test_a_network_is_familiar_for_30_days_and_a_browser_for_180(
    acquainted: Database, since: timedelta, expected: Familiar
) -> None:
    assert familiar(acquainted, ALICE, NOW + since) == expected


@pytest.mark.parametrize("subject", [BOB, None])
def test_what_is_familiar_to_one_is_not_to_others(
    acquainted: Database, subject: SubjectId | None
) -> None:
    assert familiar(acquainted, subject, NOW) == Familiar(network=False, browser=False)


def test_another_network_and_another_browser_are_not_familiar(acquainted: Database) -> None:
    strange = familiar(acquainted, ALICE, NOW, network=b"b", browser=b"n")
    silent = familiar(acquainted, ALICE, NOW, browser=None)

    assert strange == Familiar(network=False, browser=False)
    assert silent == Familiar(network=True, browser=False)


@pytest.mark.parametrize("again, is_extended", [(DAY - MICROSECOND, False), (DAY, True)])
def test_what_is_seen_again_is_remembered_once_a_day(
    acquainted: Database, again: timedelta, is_extended: bool
) -> None:
    remember(acquainted, NETWORK, b"n", NOW + again)

    at_the_first_end = familiar(acquainted, ALICE, NOW + 30 * DAY)

    assert at_the_first_end.network == is_extended


def test_a_deleted_account_is_familiar_with_nothing(acquainted: Database) -> None:
    remember(acquainted, NETWORK, b"n", NOW, BOB)

    acquainted.transaction(store.forget, ALICE)

    assert familiar(acquainted, ALICE, NOW) == Familiar(network=False, browser=False)
    assert familiar(acquainted, BOB, NOW).network


def test_what_was_not_seen_for_long_is_deleted_in_batches(acquainted: Database) -> None:
    remember(acquainted, NETWORK, b"m", NOW)

    deleted = [
        acquainted.transaction(store.expire, now=NOW + since, limit=1)
        for since in (30 * DAY - MICROSECOND, 30 * DAY, 30 * DAY, 180 * DAY, 180 * DAY)
    ]

    assert deleted == [0, 1, 1, 1, 0]
