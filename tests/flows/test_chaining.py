"""The audit chain shows what was changed in the database behind the program's back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import insert, text

from tests.support.house import OPERATOR, House
from twinlock.audit.chain import store as chain
from twinlock.audit.events import Caller, Event, EventType
from twinlock.audit.store import record
from twinlock.audit.tables import event
from twinlock.flows import chaining
from twinlock.flows.chaining import Damage, Damaged, Head, Verification
from twinlock.flows.counting import Counting
from twinlock.web.upkeep import Upkeep

KEPT = timedelta(days=400)


@contextmanager
def running(house: House) -> Iterator[House]:
    """Open a house for its flows, without a server."""
    house.auth.start()
    try:
        yield house
    finally:
        house.auth.close()


@pytest.fixture
def opened(house: House) -> Iterator[House]:
    with running(house):
        yield house


def happen(house: House, count: int, *, repeat_key: bytes | None = None) -> None:
    """Write events, one a second."""
    for number in range(count):
        house.clock.advance(seconds=1)
        happened = Event(
            EventType.LOGIN_DENIED,
            house.now,
            Caller(ip="192.0.2.1", user_agent=f"agent {number}"),
            repeat_key=repeat_key,
        )
        house.database.transaction(record, happened)


def chained(house: House, *batches: int) -> None:
    """Chain as many events as given in a batch each, after what the installation wrote itself."""
    house.clock.advance(minutes=10)
    chaining.extend(house.runtime.parts, now=house.now)
    for count in batches:
        happen(house, count)
        house.clock.advance(minutes=10)
        chaining.extend(house.runtime.parts, now=house.now)


def verified(
    house: House, *, keep_events: timedelta = KEPT, expected: Head | None = None
) -> Verification:
    *_, last = chaining.verify(
        house.runtime.parts, keep_events=keep_events, expected=expected, now=house.now
    )
    return last


def tamper(house: House, statement: str, **params: object) -> None:
    """Do to the database what somebody can who has it, but not the keys."""

    def work(tx: object) -> None:
        assert tx.execute(text(statement), params).rowcount == 1  # type: ignore[attr-defined]

    house.database.transaction(work)


def batches(house: House) -> list[chain.Batch]:
    return house.database.reading(chain.list_batches, after=0, limit=100)


def nth_event(house: House, batch: int) -> str:
    """The id of a batch's first event."""
    return batches(house)[batch - 1].from_id


def test_an_untouched_log_is_whole(opened: House) -> None:
    chained(opened, 3, 2)

    found = verified(opened)

    assert (found.whole, found.damaged, found.unchained) == (3, [], 0)
    assert found.events >= 5


def test_an_empty_chain_is_whole_and_says_what_is_not_chained(opened: House) -> None:
    happen(opened, 2)

    found = verified(opened)

    assert (found.whole, found.damaged, found.head) == (0, [], None)
    assert found.unchained >= 2


def test_events_are_chained_once_they_have_settled(opened: House) -> None:
    chained(opened)
    happen(opened, 1)

    opened.clock.now += chaining.SETTLED_AFTER
    just_before = chaining.extend(opened.runtime.parts, now=opened.now)
    opened.clock.advance(microseconds=1000)
    after = chaining.extend(opened.runtime.parts, now=opened.now)

    assert (just_before, after) == (0, 1)


def test_batches_are_filled_and_follow_each_other(opened: House) -> None:
    chained(opened)
    happen(opened, 5)
    opened.clock.advance(minutes=10)

    count = chaining.extend(opened.runtime.parts, now=opened.now, limit=2)

    assert count == 5
    assert [one.events for one in batches(opened)[1:]] == [2, 2, 1]
    assert all(one.to_id < next_.from_id for one, next_ in pairwise(batches(opened)))
    assert verified(opened).damaged == []


def test_extending_stops_when_it_is_told_to(opened: House) -> None:
    chained(opened)
    happen(opened, 4)
    opened.clock.advance(minutes=10)

    count = chaining.extend(opened.runtime.parts, now=opened.now, limit=1, pause=lambda: True)

    assert count == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET ip = '198.51.100.7' WHERE id = :id",
        "UPDATE event SET type = 'login.succeeded' WHERE id = :id",
        "UPDATE event SET user_agent = NULL WHERE id = :id",
        "UPDATE event SET details = '{\"x\": 1}' WHERE id = :id",
        "UPDATE event SET count = 2 WHERE id = :id",
    ],
)
def test_a_changed_event_is_named_by_its_batch(opened: House, change: str) -> None:
    chained(opened, 2, 2, 2)

    tamper(opened, change, id=nth_event(opened, 3))

    found = verified(opened)
    assert [(one.number, one.damage) for one in found.damaged] == [(3, Damage.EVENTS_CHANGED)]
    assert found.whole == 3


def test_a_removed_event_is_named_by_its_batch(opened: House) -> None:
    chained(opened, 2, 2)

    tamper(opened, "DELETE FROM event WHERE id = :id", id=nth_event(opened, 2))

    [damaged] = verified(opened).damaged
    assert (damaged.number, damaged.damage, damaged.found) == (2, Damage.EVENTS_MISSING, 1)


def test_an_event_that_was_added_afterwards_is_named_by_its_batch(opened: House) -> None:
    chained(opened, 2)
    inside = opened.now - timedelta(minutes=10, milliseconds=500)

    opened.database.transaction(record, Event(EventType.LOGIN_SUCCEEDED, inside, OPERATOR))

    [damaged] = verified(opened).damaged
    assert (damaged.number, damaged.damage, damaged.found) == (2, Damage.EVENTS_ADDED, 3)


def test_a_removed_batch_is_missed(opened: House) -> None:
    chained(opened, 2, 2, 2)

    tamper(opened, "DELETE FROM audit_chain WHERE number = 2")

    assert verified(opened).damaged[0] == Damaged(2, Damage.BATCH_MISSING)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_chain SET events = events - 1 WHERE number = 2",
        "UPDATE audit_chain SET from_id = to_id WHERE number = 2",
        "UPDATE audit_chain SET events_digest = digest WHERE number = 2",
        "UPDATE audit_chain SET digest = events_digest WHERE number = 2",
    ],
)
def test_a_changed_batch_is_named(opened: House, change: str) -> None:
    chained(opened, 2, 2)

    tamper(opened, change)

    first = verified(opened).damaged[0]
    assert (first.number, first.damage) == (2, Damage.BATCH_CHANGED)


def test_a_batch_of_another_history_does_not_fit(opened: House) -> None:
    """An old copy of a batch and its events is put in the place of what happened really."""
    chained(opened, 1)
    copied_batch = batches(opened)[1]
    [copied_event] = opened.database.reading(
        chain.list_events, after=batches(opened)[0].to_id, before="g", limit=9
    )
    tamper(opened, "DELETE FROM audit_chain WHERE number = 2")
    tamper(opened, "DELETE FROM event WHERE id = :id", id=copied_event.id)
    chained(opened, 1, 1)

    tamper(opened, "DELETE FROM event WHERE id = :id", id=nth_event(opened, 2))
    tamper(opened, "DELETE FROM audit_chain WHERE number = 2")
    opened.database.transaction(lambda tx: tx.execute(insert(event), dict(copied_event._mapping)))
    opened.database.transaction(chain.insert_batch, copied_batch)

    [damaged] = verified(opened).damaged
    assert (damaged.number, damaged.damage) == (3, Damage.BATCH_CHANGED)


def test_the_count_of_a_repeated_denial_may_still_rise(opened: House) -> None:
    chained(opened)
    happen(opened, 1, repeat_key=b"bucket and hour")
    chained(opened)

    happen(opened, 1, repeat_key=b"bucket and hour")

    assert verified(opened).damaged == []


def test_a_log_that_was_cut_off_is_missed_by_its_head(opened: House) -> None:
    chained(opened, 2, 2)
    noted = verified(opened).head

    tamper(opened, "DELETE FROM audit_chain WHERE number = 3")

    assert verified(opened).damaged == []
    assert verified(opened, expected=noted).damaged == [Damaged(3, Damage.HEAD_MISSING)]


def test_a_head_noted_earlier_stays_in_the_chain(opened: House) -> None:
    chained(opened, 2)
    noted = verified(opened).head

    chained(opened, 2)

    assert verified(opened, expected=noted).damaged == []


def test_expired_events_are_no_damage(opened: House) -> None:
    chained(opened, 2, 2)
    opened.clock.advance(days=10)
    chained(opened, 2)

    Upkeep(
        opened.runtime.parts,
        opened.runtime.password_check,
        (),
        at_end=Counting(opened.runtime.parts),
        keep_events=timedelta(days=5),
    ).work()

    found = verified(opened, keep_events=timedelta(days=5))
    assert (found.whole, found.expired, found.damaged) == (1, 3, [])
    assert verified(opened).damaged != []


def test_a_young_event_cannot_pass_for_expired(opened: House) -> None:
    chained(opened, 2)

    tamper(opened, "DELETE FROM event WHERE id = :id", id=nth_event(opened, 2))
    old = nth_event(opened, 1)[:1] + "0" * 31
    tamper(opened, "UPDATE audit_chain SET from_id = :old WHERE number = 2", old=old)

    [damaged] = verified(opened).damaged
    assert (damaged.number, damaged.damage) == (2, Damage.BATCH_CHANGED)


def test_a_running_server_chains_by_itself(opened: House) -> None:
    happen(opened, 3)
    opened.clock.advance(minutes=10)

    runtime = opened.runtime
    counting = Counting(runtime.parts)
    Upkeep(runtime.parts, runtime.password_check, (), at_end=counting, keep_events=KEPT).work()

    assert verified(opened).unchained == 0


def test_processes_that_race_write_each_batch_once(opened: House) -> None:
    chained(opened)
    happen(opened, 12)
    opened.clock.advance(minutes=10)
    start = threading.Barrier(4)
    counts: list[int] = []

    def work() -> None:
        start.wait()
        counts.append(chaining.extend(opened.runtime.parts, now=opened.now, limit=1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chaining.extend(opened.runtime.parts, now=opened.now, limit=1)

    assert [one.number for one in batches(opened)] == list(range(1, 14))
    assert sum(counts) <= 12
    assert verified(opened).damaged == []
