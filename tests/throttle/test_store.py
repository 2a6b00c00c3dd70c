"""Counting on both databases: what is counted, given back, healed and forgotten."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, select, update

from tests.throttle.conftest import plan_of
from twinlock.core.proof import SubjectId
from twinlock.db.engine import Database
from twinlock.throttle import policy, store
from twinlock.throttle.policy import (
    MICROSECOND,
    SHORT_CODE_STOP,
    Counted,
    Familiar,
    Limit,
    Rule,
    Throttled,
    ThrottleRules,
)
from twinlock.throttle.store import Try
from twinlock.throttle.tables import throttle

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
KEY = b"k" * 32
ALICE = SubjectId("a" * 32)
BOB = SubjectId("b" * 32)
RULES = ThrottleRules()
SECOND_FACTOR = RULES.second_factor
NETWORK_RULE = RULES.password_network
STRANGERS = RULES.password_strangers
SMALL = Rule("small", (Limit(2, MINUTE), Limit(3, 5 * MINUTE)), trickle=timedelta(seconds=20))

fresh_keys = count()


def take(database: Database, rule: Rule, now: datetime, key: bytes = KEY) -> Try | Throttled:
    return database.transaction_once(store.take_try, rule=rule, key=key, now=now)


def take_one(database: Database, rule: Rule, now: datetime, key: bytes = KEY) -> Try:
    taken = take(database, rule, now, key)
    assert isinstance(taken, Try)
    return taken


def fill(database: Database, rule: Rule, limit: Limit) -> None:
    for number in range(limit.max_tries):
        take_one(database, rule, NOW + number * limit.window / limit.max_tries)


def row(database: Database, key: bytes = KEY) -> tuple[object, ...] | None:
    def read(db: Connection) -> tuple[object, ...] | None:
        found = db.execute(select(throttle).where(throttle.c.key == key)).one_or_none()
        return tuple(found) if found else None

    return database.reading(read)


def moments(database: Database, key: bytes = KEY) -> list[int]:
    def read(db: Connection) -> bytes:
        recent: bytes = db.execute(
            select(throttle.c.recent).where(throttle.c.key == key)
        ).scalar_one()
        return recent

    return policy.unpack(database.reading(read))


def overwrite(database: Database, recent: object, key: bytes = KEY) -> None:
    def write(tx: Connection) -> None:
        tx.execute(update(throttle).where(throttle.c.key == key).values(recent=recent))

    database.transaction(write)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements that reach the database, but those that begin a transaction."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    "rule, limit",
    [
        pytest.param(rule, limit, id=f"{rule.name}-{limit.max_tries}")
        for rule in (
            SECOND_FACTOR,
            NETWORK_RULE,
            RULES.password_account_network,
            RULES.password_known_browser,
        )
        for limit in rule.limits
    ],
)
def test_one_try_more_waits_until_the_first_is_a_window_old(
    database: Database, rule: Rule, limit: Limit
) -> None:
    fill(database, rule, limit)

    just_inside = take(database, rule, NOW + limit.window - MICROSECOND)
    just_outside = take(database, rule, NOW + limit.window)

    assert just_inside == Throttled(MICROSECOND)
    assert isinstance(just_outside, Try)


def test_strangers_that_are_too_many_share_one_try_a_minute(database: Database) -> None:
    for _ in range(100):
        take_one(database, STRANGERS, NOW)

    outcomes = [
        take(database, STRANGERS, NOW + pause)
        for pause in (MINUTE - MICROSECOND, MINUTE, 2 * MINUTE - MICROSECOND, 2 * MINUTE)
    ]

    assert [isinstance(outcome, Try) for outcome in outcomes] == [False, True, False, True]
    assert outcomes[0] == Throttled(MICROSECOND)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.sampled_from((SMALL, SECOND_FACTOR, RULES.password_account_network)),
    st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from((0, 1, 20_000_000, 60_000_000, 300_000_000, 600_000_000)),
                st.integers(-2_000_000, 400_000_000),
            ),
            st.booleans(),
        ),
        max_size=25,
    ),
)
def test_the_statement_asks_what_the_policy_asks(
    database: Database, rule: Rule, history: list[tuple[int, bool]]
) -> None:
    """Also where requests overtake each other, by seconds, and where tries are given back."""
    key = next(fresh_keys).to_bytes(32, "big")
    recent, now = b"", NOW

    def run(tx: Connection) -> None:
        nonlocal recent, now
        for pause, is_given_back in history:
            now += pause * MICROSECOND
            expected = policy.admit(recent, rule, now=now)
            taken = store.take_try(tx, rule=rule, key=key, now=now)
            if isinstance(expected, Throttled):
                assert taken == expected
                continue
            assert isinstance(taken, Try)
            assert taken.moment == expected.moment
            recent = expected.recent
            if is_given_back:
                store.give_back(tx, [taken])
                recent = policy.without(recent, taken.moment) or b""
            assert tx.execute(store.LOCK_COUNT, {"of": key}).one().recent == recent

    database.transaction_once(run)


def test_a_try_is_counted_by_one_statement(database: Database) -> None:
    """Also the first of a count, and the first after all were given back."""
    with statements(database) as seen:
        first = take_one(database, SECOND_FACTOR, NOW)
        take_one(database, SECOND_FACTOR, NOW + MINUTE)
        take_one(database, NETWORK_RULE, NOW, b"n")
        alone = take_one(database, NETWORK_RULE, NOW, b"alone")
        database.transaction(store.give_back, [alone])
        take_one(database, NETWORK_RULE, NOW + MINUTE, b"alone")

    assert first.in_a_row == 1
    assert len(seen) == 6


def test_the_first_try_after_a_window_is_counted_by_one_statement(database: Database) -> None:
    for _ in range(5):
        take_one(database, SECOND_FACTOR, NOW)

    with statements(database) as seen:
        take_one(database, SECOND_FACTOR, NOW + 5 * MINUTE)

    assert len(seen) == 1


def test_a_throttled_try_changes_nothing(database: Database) -> None:
    fill(database, SECOND_FACTOR, SECOND_FACTOR.limits[0])
    before = row(database)

    outcome = take(database, SECOND_FACTOR, NOW + 4 * MINUTE + timedelta(seconds=30))

    assert outcome == Throttled(timedelta(seconds=30))
    assert row(database) == before


def test_tries_of_one_microsecond_all_count(database: Database) -> None:
    outcomes = [take(database, SECOND_FACTOR, NOW) for _ in range(6)]

    assert [isinstance(outcome, Try) for outcome in outcomes] == [True] * 5 + [False]
    assert len(moments(database)) == 5


def test_a_request_that_was_overtaken_counts_no_later_than_the_other(database: Database) -> None:
    overtaking = take_one(database, SECOND_FACTOR, NOW + timedelta(seconds=1))

    overtaken = take_one(database, SECOND_FACTOR, NOW)

    assert overtaken.in_a_row == 2
    assert moments(database) == [overtaking.moment] * 2


@pytest.mark.parametrize("given_back", [0, 1, 2])
def test_a_try_gives_back_itself_and_no_other(database: Database, given_back: int) -> None:
    tries = [take_one(database, SECOND_FACTOR, NOW + n * MINUTE) for n in range(3)]

    database.transaction(store.give_back, [tries[given_back]])

    left = [taken.moment for taken in tries if taken is not tries[given_back]]
    assert moments(database) == left[::-1]
    assert database.reading(store.in_a_row, KEY) == 2


def test_of_two_tries_of_one_moment_one_is_given_back(database: Database) -> None:
    first = take_one(database, SECOND_FACTOR, NOW)
    take_one(database, SECOND_FACTOR, NOW)
    take_one(database, SECOND_FACTOR, NOW + MINUTE)

    database.transaction(store.give_back, [first])

    assert moments(database) == [policy.moment_of(NOW + MINUTE), first.moment]


def test_tries_of_several_counts_are_given_back_together(database: Database) -> None:
    tries = [take_one(database, NETWORK_RULE, NOW, key) for key in (b"1", b"2")]

    database.transaction(store.give_back, tries)

    assert [moments(database, key) for key in (b"1", b"2")] == [[], []]


def test_a_try_that_its_count_has_lost_gives_nothing_back(database: Database) -> None:
    lost = take_one(database, SECOND_FACTOR, NOW)
    database.transaction(store.forget, KEY)
    database.transaction(store.give_back, [lost])
    other = take_one(database, SECOND_FACTOR, NOW + MINUTE)

    database.transaction(store.give_back, [lost])

    assert moments(database) == [other.moment]
    assert database.reading(store.in_a_row, KEY) == 1


def test_a_hundred_wrong_answers_in_a_row_are_told(database: Database) -> None:
    """Rules of safety, section 3: they stop the short codes."""
    streak = [take_one(database, SECOND_FACTOR, NOW + n * HOUR).in_a_row for n in range(101)]

    assert streak[-2:] == [SHORT_CODE_STOP, SHORT_CODE_STOP + 1]
    assert database.reading(store.in_a_row, KEY) == SHORT_CODE_STOP + 1


def test_only_the_second_factor_counts_in_a_row(database: Database) -> None:
    rules = (SECOND_FACTOR, RULES.second_factor_decoy, NETWORK_RULE)
    for rule in rules:
        take_one(database, rule, NOW, rule.name.encode())
        take_one(database, rule, NOW + MINUTE, rule.name.encode())

    counted = [database.reading(store.in_a_row, rule.name.encode()) for rule in rules]

    assert counted == [2, 0, 0]


@pytest.mark.parametrize("is_followed", [False, True])
def test_a_right_answer_gives_itself_back_and_ends_the_row(
    database: Database, is_followed: bool
) -> None:
    wrong = take_one(database, SECOND_FACTOR, NOW)
    right = take_one(database, SECOND_FACTOR, NOW + MINUTE)
    others = [wrong.moment]
    if is_followed:
        others.insert(0, take_one(database, SECOND_FACTOR, NOW + 2 * MINUTE).moment)

    database.transaction(store.give_back_right_answer, right)

    assert moments(database) == others
    assert database.reading(store.in_a_row, KEY) == 0


def test_giving_back_after_a_right_answer_does_not_count_below_zero(database: Database) -> None:
    first, second = (take_one(database, SECOND_FACTOR, NOW + n * MINUTE) for n in range(2))
    database.transaction(store.give_back_right_answer, second)

    database.transaction(store.give_back, [first])

    assert database.reading(store.in_a_row, KEY) == 0


def test_an_admin_lifts_the_stop_and_leaves_the_windows(database: Database) -> None:
    fill(database, SECOND_FACTOR, SECOND_FACTOR.limits[0])

    database.transaction(store.reset_in_a_row, KEY)

    assert database.reading(store.in_a_row, KEY) == 0
    assert len(moments(database)) == 5


def test_a_count_that_is_forgotten_begins_anew(database: Database) -> None:
    fill(database, SECOND_FACTOR, SECOND_FACTOR.limits[0])

    database.transaction(store.forget, KEY)

    assert take_one(database, SECOND_FACTOR, NOW + 4 * MINUTE).in_a_row == 1


def test_what_was_never_counted_is_none_in_a_row(database: Database) -> None:
    assert database.reading(store.in_a_row, KEY) == 0


@pytest.mark.parametrize(
    "recent",
    [
        b"\x00",
        b"1234567",
        b"\xff" * 9,
        policy.pack([2**64 - 2, 2**64 - 1]),
    ],
)
def test_a_damaged_count_denies_tells_and_heals(
    database: Database, caplog: pytest.LogCaptureFixture, recent: bytes
) -> None:
    take_one(database, SECOND_FACTOR, NOW - HOUR)
    overwrite(database, recent)

    outcome = take(database, SECOND_FACTOR, NOW)
    again = take(database, SECOND_FACTOR, NOW + DAY - MICROSECOND)
    healed = take(database, SECOND_FACTOR, NOW + DAY)

    alarms = [record for record in caplog.records if record.name == "twinlock.throttle"]
    assert (outcome, again) == (Throttled(DAY), Throttled(MICROSECOND))
    assert isinstance(healed, Try)
    assert [(alarm.levelno, alarm.message) for alarm in alarms] == [
        (logging.ERROR, "throttle_count_damaged")
    ]


@pytest.mark.parametrize("garbage", ["", "1234", "12345678", "\ufffd" * 16])
def test_a_text_in_place_of_a_count_is_no_error(throttle_sqlite_url: str, garbage: str) -> None:
    """SQLite keeps whatever it is given in a column of bytes."""
    database = Database(throttle_sqlite_url)
    take_one(database, SECOND_FACTOR, NOW)

    def write(tx: Connection) -> None:
        tx.exec_driver_sql("UPDATE throttle SET recent = ?", (garbage,))

    database.transaction(write)

    outcomes = [take(database, SECOND_FACTOR, NOW + n * MICROSECOND) for n in range(60)]

    assert isinstance(outcomes[-1], Throttled)
    assert isinstance(take(database, SECOND_FACTOR, NOW + DAY + MINUTE), Try)
    database.close()


def test_a_clock_that_was_set_back_locks_for_a_window_at_most(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        take_one(database, SECOND_FACTOR, NOW + 365 * DAY)

    outcome = take(database, SECOND_FACTOR, NOW)
    just_inside = take(database, SECOND_FACTOR, NOW + 5 * MINUTE - MICROSECOND)
    just_outside = take(database, SECOND_FACTOR, NOW + 5 * MINUTE)

    assert outcome == Throttled(5 * MINUTE)
    assert just_inside == Throttled(MICROSECOND)
    assert isinstance(just_outside, Try)
    assert [record.message for record in caplog.records if record.name == "twinlock.throttle"] == [
        "throttle_count_in_future"
    ]


def test_a_clock_that_was_set_back_leaves_room_that_was_there(database: Database) -> None:
    take_one(database, SECOND_FACTOR, NOW + 365 * DAY)

    taken = take_one(database, SECOND_FACTOR, NOW)

    assert moments(database) == [policy.moment_of(NOW)] * 2
    assert taken.in_a_row == 2


def test_what_says_nothing_any_more_is_deleted_in_batches(database: Database) -> None:
    for number in range(3):
        take_one(database, NETWORK_RULE, NOW, bytes([number]))
    end = policy.expires_at(NETWORK_RULE, now=NOW)

    deleted = [
        database.transaction(store.expire, now=moment, limit=2)
        for moment in (end - MICROSECOND, end, end, end)
    ]

    assert deleted == [0, 2, 1, 0]


def test_a_try_keeps_its_count_from_expiring(database: Database) -> None:
    take_one(database, NETWORK_RULE, NOW)
    take_one(database, NETWORK_RULE, NOW + HOUR)

    deleted = database.transaction(
        store.expire, now=policy.expires_at(NETWORK_RULE, now=NOW), limit=10
    )

    assert deleted == 0


def test_wrong_answers_in_a_row_are_kept_until_a_right_one_ends_them(database: Database) -> None:
    """Or else ninety-nine guesses, a day's rest and again ninety-nine would never stop."""
    take_one(database, SECOND_FACTOR, NOW)
    kept = database.transaction(store.expire, now=NOW + 999 * DAY, limit=10)
    database.transaction(store.reset_in_a_row, KEY)

    deleted = database.transaction(store.expire, now=NOW + 999 * DAY, limit=10)

    assert (kept, deleted) == (0, 1)


def test_what_is_expired_is_found_by_its_index(throttle_sqlite_url: str) -> None:
    database = Database(throttle_sqlite_url)

    plan = database.reading(plan_of, store.EXPIRE_COUNTS)

    assert "ix_throttle_expires_at" in plan
    database.close()


def password_counts(account: bytes, *, network: bytes = b"network") -> tuple[Counted, ...]:
    return RULES.password_rules(
        network=network,
        account_network=account + network,
        strangers=account,
        browser=None,
        familiar=Familiar(network=False, browser=False),
    )


def take_password(
    database: Database, counted: tuple[Counted, ...], now: datetime = NOW
) -> tuple[Try, ...] | Throttled:
    return database.transaction_once(store.take_password_tries, counted, now=now)


def test_a_password_is_counted_for_all_it_belongs_to(database: Database) -> None:
    tries = take_password(database, password_counts(b"alice"))

    assert isinstance(tries, tuple)
    assert [taken.rule for taken in tries] == [
        "password_network",
        "password_account_network",
        "password_strangers",
    ]
    assert [len(moments(database, taken.key)) for taken in tries] == [1, 1, 1]


def test_a_try_that_the_account_refuses_still_costs_its_network(database: Database) -> None:
    counted = password_counts(b"alice")
    for _ in range(10):
        take_password(database, counted)

    outcome = take_password(database, counted)

    assert outcome == Throttled(10 * MINUTE)
    assert [len(moments(database, one.key)) for one in counted] == [11, 10, 10]


def test_a_network_that_is_full_makes_no_rows_for_new_names(database: Database) -> None:
    for number in range(100):
        take_password(database, password_counts(b"%d" % number))

    outcome = take_password(database, password_counts(b"new"))

    assert outcome == Throttled(HOUR)
    assert row(database, b"new") is None
    assert row(database, b"newnetwork") is None


def test_strangers_of_all_networks_are_counted_together(database: Database) -> None:
    for number in range(100):
        take_password(database, password_counts(b"alice", network=b"%d" % number))

    outcome = take_password(database, password_counts(b"alice", network=b"another"))

    assert outcome == Throttled(MINUTE)
