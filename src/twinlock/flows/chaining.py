"""The audit chain: whoever changes the log in the database, without the keys, leaves a mark.

Batches of events are digested in the background, never inside a login, each together with the
batch before. The digests are made under a key of the installation that lies in the database,
sealed by the master keys: the chain outlives their rotation, and nothing is to be re-sealed.

What it cannot show: a change to events that no batch holds yet, which are a few minutes old at
most; and the loss of the newest batches together with all their events. Against the latter,
note the head that `verify` returns somewhere else, and ask for it later.
"""

import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row

from twinlock.audit.chain import store
from twinlock.audit.chain.store import Batch
from twinlock.core.keyring import DigestKey
from twinlock.flows.event_ids import first_id_of
from twinlock.flows.parts import Parts

BATCH: Final = 500
"""Events of one batch."""
SETTLED_AFTER: Final = timedelta(minutes=5)
"""How old events are when they are chained. By then every request that they belong to has
ended, and the clocks of several machines may differ by as much."""

_BATCHES_AT_ONCE: Final = 200


class Damage(StrEnum):
    """What is wrong with a batch."""

    BATCH_MISSING = "batch_missing"
    BATCH_CHANGED = "batch_changed"
    EVENTS_MISSING = "events_missing"
    EVENTS_ADDED = "events_added"
    EVENTS_CHANGED = "events_changed"
    HEAD_MISSING = "head_missing"


@dataclass(frozen=True, slots=True)
class Damaged:
    """A batch that is not as it was written.

    Attributes:
        batch: Its row; None where it is missing.
        found: How many events lie where it says that they are.
    """

    number: int
    damage: Damage
    batch: Batch | None = None
    found: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The newest batch of a chain, to be noted elsewhere."""

    number: int
    digest: bytes


@dataclass(slots=True)
class Verification:
    """What a walk along the chain found.

    Attributes:
        whole: Batches that are as they were written, and so are their events.
        expired: Batches whose events are deleted, being older than events are kept.
        events: Events of the whole batches.
        damaged: All other batches, the oldest first.
        head: The newest batch; None where there is none.
        unchained: Events that no batch holds yet.
    """

    whole: int = 0
    expired: int = 0
    events: int = 0
    damaged: list[Damaged] = field(default_factory=list)
    head: Head | None = None
    unchained: int = 0


def extend(
    parts: Parts, *, now: datetime, pause: Callable[[], bool] = lambda: False, limit: int = BATCH
) -> int:
    """Chain the events that have settled; return how many.

    Several processes may do it at once: each batch is written by one of them.

    Args:
        parts: The installation.
        now: The present moment.
        pause: Called after each batch; returns whether to stop early.
        limit: Events of one batch.

    Raises:
        DatabaseUnavailableError: The database refused, or did not answer in time.
    """
    chained = 0
    settled = first_id_of(now - SETTLED_AFTER)
    while True:
        head = parts.database.reading(store.get_head)
        after = head.to_id if head else ""
        rows = parts.database.reading(store.list_events, after=after, before=settled, limit=limit)
        if not rows:
            return chained
        batch = _batch(parts.digest_key, head, rows, now=now)
        if not parts.database.transaction(store.insert_batch, batch):
            return chained  # another process is at it
        chained += len(rows)
        if pause() or len(rows) < limit:
            return chained


def verify(
    parts: Parts, *, keep_events: timedelta, expected: Head | None = None, now: datetime
) -> Iterator[Verification]:
    """Follow the chain from its beginning; give what was found so far, and at last the whole.

    Args:
        parts: The installation.
        keep_events: How long events are kept; the events of older batches may be gone.
        expected: A head that was noted elsewhere, and must still be in the chain.
        now: The present moment.

    Raises:
        DatabaseUnavailableError: The database refused, or did not answer in time.
    """
    found = Verification()
    expired = first_id_of(now - keep_events)
    previous: Batch | None = None
    while batches := parts.database.reading(
        store.list_batches, after=previous.number if previous else 0, limit=_BATCHES_AT_ONCE
    ):
        for batch in batches:
            _verify_batch(parts, found, batch, previous, expired_before=expired)
            previous = batch
            yield found
    if previous is not None:
        found.head = Head(previous.number, previous.digest)
    if expected is not None and not _is_in_chain(parts, expected):
        found.damaged.append(Damaged(expected.number, Damage.HEAD_MISSING))
    last = previous.to_id if previous else ""
    found.unchained = parts.database.reading(store.count_events, after=last)
    yield found


def count_batches(parts: Parts) -> int:
    """Return how many batches the chain has."""
    head = parts.database.reading(store.get_head)
    return head.number if head else 0


def _batch(key: DigestKey, head: Batch | None, rows: Sequence[Row[Any]], *, now: datetime) -> Batch:
    number = head.number + 1 if head else 1
    from_id, to_id = rows[0].id, rows[-1].id
    events_digest = _events_digest(key, rows)
    digest = _digest(key, head, number, from_id, to_id, len(rows), events_digest)
    return Batch(number, from_id, to_id, len(rows), events_digest, digest, now)


def _verify_batch(
    parts: Parts,
    found: Verification,
    batch: Batch,
    previous: Batch | None,
    *,
    expired_before: str,
) -> None:
    next_number = previous.number + 1 if previous else 1
    if batch.number != next_number:
        found.damaged.append(Damaged(next_number, Damage.BATCH_MISSING))
    rows = _events_between(parts, previous, batch)
    match _damage_of(parts.digest_key, batch, previous, rows):
        case None:
            found.whole += 1
            found.events += len(rows)
        case Damage.EVENTS_MISSING if batch.from_id < expired_before:
            found.expired += 1
        case damage:
            found.damaged.append(Damaged(batch.number, damage, batch, len(rows)))


def _events_between(parts: Parts, previous: Batch | None, batch: Batch) -> Sequence[Row[Any]]:
    """Return the events from the batch before to the end of this one, at most one too many."""
    return parts.database.reading(
        store.list_events,
        after=previous.to_id if previous else "",
        before=f"{batch.to_id}0",  # the first text after the id itself
        limit=batch.events + 1,
    )


def _damage_of(
    key: DigestKey, batch: Batch, previous: Batch | None, rows: Sequence[Row[Any]]
) -> Damage | None:
    described = batch.number, batch.from_id, batch.to_id, batch.events, batch.events_digest
    if not hmac.compare_digest(_digest(key, previous, *described), batch.digest):
        return Damage.BATCH_CHANGED
    if len(rows) != batch.events:
        is_less = len(rows) < batch.events
        return Damage.EVENTS_MISSING if is_less else Damage.EVENTS_ADDED
    if not hmac.compare_digest(_events_digest(key, rows), batch.events_digest):
        return Damage.EVENTS_CHANGED
    return None


def _is_in_chain(parts: Parts, expected: Head) -> bool:
    found = parts.database.reading(store.list_batches, after=expected.number - 1, limit=1)
    return [(one.number, one.digest) for one in found] == [(expected.number, expected.digest)]


def _digest(
    key: DigestKey,
    previous: Batch | None,
    number: int,
    from_id: str,
    to_id: str,
    events: int,
    events_digest: bytes,
) -> bytes:
    before = previous.digest if previous else b""
    facts = (str(number), from_id, to_id, str(events))
    return key.digest("audit-chain", before, *facts, events_digest)


def _events_digest(key: DigestKey, rows: Sequence[Row[Any]]) -> bytes:
    return key.digest("audit-events", *map(_canonical, rows))


def _canonical(row: Row[Any]) -> str:
    """Return an event as text that is the same on every database and at every time.

    The count of a repeatable event still rises for an hour, so it is left out.
    """
    facts = dict(row._mapping)
    if facts["repeat_key"] is not None:
        del facts["count"]
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), default=_canonical_value)


def _canonical_value(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat(timespec="microseconds")
        case bytes() | memoryview():
            return bytes(value).hex()
        case _:
            raise TypeError(f"{type(value).__name__} is no value of an event")
