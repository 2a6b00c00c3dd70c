"""All SQL of counted tries.

A try is counted by one conditional statement, which asks what `policy.admit` asks: on both
databases `recent` is compared as bytes, and bytes compare as moments do. Only when it counts
nothing is the row, locked by then, read and judged in Python: how long is the wait, did another
request overtake this one, was the clock set back, is the count damaged?
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from twinlock.db.conflict import on_conflict_update
from twinlock.db.types import UtcDateTime
from twinlock.throttle import policy
from twinlock.throttle.policy import (
    MAX_LIMITS,
    MICROSECOND,
    MOMENT_BYTES,
    Admitted,
    Counted,
    Rule,
    Throttled,
)
from twinlock.throttle.tables import throttle

log = logging.getLogger("twinlock.throttle")


_zero, _one, _eight, _nine = (literal_column(number, Integer) for number in "0189")
_recent = throttle.c.recent
_new = literal_column("excluded.recent", LargeBinary)
_nothing = literal_column("''", LargeBinary)
_newest = func.substr(_recent, _one, _eight, type_=LargeBinary)
_all_but_newest = func.substr(_recent, _nine, type_=LargeBinary)


def _holds(limit: int) -> ColumnElement[bool]:
    """Ask that the n-th moment is a window old, or missing: no bytes are before all others."""
    nth = func.substr(_recent, bindparam(f"nth_{limit}", type_=Integer), _eight)
    return nth <= bindparam(f"since_{limit}", type_=LargeBinary)


_is_empty = func.length(_recent) == _zero  # its substr is null on SQLite
# Disorder further back shows when a limit is reached: then the row is read as a whole.
_is_in_order = and_(func.length(_recent) % _eight == _zero, _newest <= _new)
_is_trickling = _newest <= bindparam("trickle_since", type_=LargeBinary)
_is_admitted = {
    limits: or_(
        _is_empty,
        and_(_is_in_order, or_(and_(*map(_holds, range(limits))), _is_trickling)),
    )
    for limits in range(1, MAX_LIMITS + 1)
}
_kept = func.substr(_recent, _one, bindparam("kept_bytes", type_=Integer))
_with_this_try = {
    # Cast, because on SQLite || makes a text of two blobs.
    "recent": cast(_new.op("||")(func.coalesce(_kept, _nothing)), LargeBinary),
    "in_a_row": throttle.c.in_a_row + literal_column("excluded.in_a_row", Integer),
    "expires_at": literal_column("excluded.expires_at", UtcDateTime),
}
_one_less_in_a_row = case((throttle.c.in_a_row > _zero, throttle.c.in_a_row - _one), else_=_zero)
_is_row = throttle.c.key == bindparam("of")
_is_newest_try = and_(_is_row, _newest == bindparam("moment", type_=LargeBinary))
_is_expired = and_(
    throttle.c.in_a_row == _zero,
    throttle.c.expires_at <= bindparam("now", type_=UtcDateTime()),
)

TAKE_TRY = {
    limits: insert(throttle)
    .inline()
    .ext(on_conflict_update(throttle.c.key, set_=_with_this_try, where=admitted))
    .execution_options(preserve_rowcount=True)
    for limits, admitted in _is_admitted.items()
}
TAKE_TRY_IN_A_ROW = {
    limits: statement.returning(throttle.c.in_a_row) for limits, statement in TAKE_TRY.items()
}
LOCK_COUNT = (
    select(cast(_recent, LargeBinary).label("recent"), throttle.c.in_a_row)
    .where(_is_row)
    .with_for_update()
)
SET_COUNT = (
    update(throttle)
    .where(_is_row)
    .values(
        recent=bindparam("new_recent"),
        in_a_row=bindparam("new_in_a_row"),
        expires_at=bindparam("new_expires_at"),
    )
)
GIVE_BACK_NEWEST = (
    update(throttle)
    .where(_is_newest_try)
    .values(recent=_all_but_newest, in_a_row=_one_less_in_a_row)
)
GIVE_BACK_RIGHT_ANSWER = (
    update(throttle).where(_is_newest_try).values(recent=_all_but_newest, in_a_row=0)
)
GIVE_BACK_EARLIER = (
    update(throttle)
    .where(_is_row)
    .values(recent=bindparam("new_recent"), in_a_row=_one_less_in_a_row)
)
GET_IN_A_ROW = select(throttle.c.in_a_row).where(_is_row)
RESET_IN_A_ROW = update(throttle).where(_is_row, throttle.c.in_a_row != 0).values(in_a_row=0)
DELETE_COUNT = delete(throttle).where(_is_row)
# A common table: PostgreSQL could run a locking subquery more than once, past its limit.
_expired = (
    select(throttle.c.key)
    .where(_is_expired)
    .order_by(throttle.c.expires_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
    .cte("expired")
)
EXPIRE_COUNTS = (
    delete(throttle)
    .where(throttle.c.key.in_(select(_expired.c.key)), _is_expired)
    .returning(throttle.c.rule)  # sqlite3 tells no row count of a statement that begins WITH
)


@dataclass(frozen=True, slots=True)
class Try:
    """One counted try, which can be given back.

    Attributes:
        key: The count that it is in.
        rule: The rule's name.
        moment: What stands for it in the count.
        in_a_row: Tries since the last right answer, this one included; 0 where the rule
            counts none.
    """

    key: bytes
    rule: str
    moment: int
    in_a_row: int


def take_try(tx: Connection, *, rule: Rule, key: bytes, now: datetime) -> Try | Throttled:
    """Count one try, or say how long to wait; a throttled try changes nothing.

    Exactly as many as the limits allow get through, however many come at once.
    """
    limits = len(rule.limits)
    params = _try_params(rule, key, now)
    if rule.counts_in_a_row:
        counted = tx.execute(TAKE_TRY_IN_A_ROW[limits], params).scalar()
    else:
        counted = 0 if tx.execute(TAKE_TRY[limits], params).rowcount == 1 else None
    if counted is None:
        return _take_with_care(tx, rule=rule, key=key, now=now)
    return Try(key, rule.name, policy.moment_of(now), in_a_row=counted)


def take_password_tries(
    tx: Connection, counted: Iterable[Counted], *, now: datetime
) -> tuple[Try, ...] | Throttled:
    """Count one try in each of *counted*, in their order, up to the first that is full.

    What was counted before that stays counted: a try that an account's own count refuses has
    cost its network one. Were it given back, a client could be refused without end at the
    price of two writes each time, and ask for free which accounts are under attack; so a
    network is refused at its own count after at most a hundred writes in an hour, and from
    then on writes nothing. That also bounds the rows it can make, since a count is only made
    after the network's own let the try through. The price: one broken client that hammers on
    fills the count of its whole network. Known browsers do not stand in it, and sessions and
    tokens that exist are never asked.
    """
    tries: list[Try] = []
    for one in counted:
        taken = take_try(tx, rule=one.rule, key=one.key, now=now)
        if isinstance(taken, Throttled):
            return taken
        tries.append(taken)
    return tuple(tries)


def give_back(tx: Connection, tries: Iterable[Try]) -> None:
    """Uncount exactly these tries, given in the order of taking; also in a row."""
    given = [(taken, tx.execute(GIVE_BACK_NEWEST, _newest_params(taken))) for taken in tries]
    for taken, result in given:  # looked at when all were executed: they travel together
        if result.rowcount == 0:
            _give_back_earlier(tx, taken)


def give_back_right_answer(tx: Connection, taken: Try) -> None:
    """Uncount a try that was right, and end the row of wrong ones before it."""
    if tx.execute(GIVE_BACK_RIGHT_ANSWER, _newest_params(taken)).rowcount == 0:
        _give_back_earlier(tx, taken)
        reset_in_a_row(tx, taken.key)


def reset_in_a_row(tx: Connection, key: bytes) -> None:
    """End the row of wrong answers, as a right answer does, or an admin who lifts the stop."""
    tx.execute(RESET_IN_A_ROW, {"of": key})


def in_a_row(db: Connection, key: bytes) -> int:
    """Return how many tries were counted since the last right answer."""
    return db.execute(GET_IN_A_ROW, {"of": key}).scalar() or 0


def forget(tx: Connection, key: bytes) -> None:
    """Drop a count, as an admin does who unlocks an account."""
    tx.execute(DELETE_COUNT, {"of": key})


def expire(tx: Connection, *, now: datetime, limit: int) -> int:
    """Delete at most *limit* counts that say nothing any more; return how many."""
    return len(tx.execute(EXPIRE_COUNTS, {"now": now, "limit": limit}).all())


def _newest_params(taken: Try) -> dict[str, Any]:
    return {"of": taken.key, "moment": policy.pack([taken.moment])}


def _try_params(rule: Rule, key: bytes, now: datetime) -> dict[str, Any]:
    moment = policy.moment_of(now)
    params = {
        "key": key,
        "rule": rule.name,
        "recent": moment.to_bytes(MOMENT_BYTES, "big"),
        "in_a_row": int(rule.counts_in_a_row),
        "expires_at": policy.expires_at(rule, now=now),
        "created_at": now,
        "kept_bytes": (rule.kept - 1) * MOMENT_BYTES,
        "trickle_since": _back(moment, rule.trickle),
    }
    for number, limit in enumerate(rule.limits):
        params[f"nth_{number}"] = (limit.max_tries - 1) * MOMENT_BYTES + 1
        params[f"since_{number}"] = _back(moment, limit.window)
    return params


def _back(moment: int, span: timedelta | None) -> bytes:
    """Return the moment a span earlier; b"", which no moment is before, where there is none."""
    if span is None:
        return b""
    earlier = moment - span // MICROSECOND
    return earlier.to_bytes(MOMENT_BYTES, "big") if earlier >= 0 else b""


def _take_with_care(tx: Connection, *, rule: Rule, key: bytes, now: datetime) -> Try | Throttled:
    """Judge the row that `TAKE_TRY` locked and left alone, and heal it where it needs that."""
    row = tx.execute(LOCK_COUNT, {"of": key}).one()
    sound = policy.repaired(row.recent, rule, now=now)
    if policy.is_damaged(row.recent):
        log.error("throttle_count_damaged", extra={"rule": rule.name, "key": key.hex()})
    elif sound != row.recent:
        log.warning("throttle_count_in_future", extra={"rule": rule.name, "key": key.hex()})
    match policy.admit(sound, rule, now=now):
        case Admitted(recent, moment):
            counted = row.in_a_row + int(rule.counts_in_a_row)
            _set_count(tx, rule, key, recent=recent, in_a_row=counted, now=now)
            return Try(key, rule.name, moment, in_a_row=counted)
        case Throttled(wait):
            if sound != row.recent:
                _set_count(tx, rule, key, recent=sound, in_a_row=row.in_a_row, now=now)
            return Throttled(wait, key)


def _set_count(
    tx: Connection, rule: Rule, key: bytes, *, recent: bytes, in_a_row: int, now: datetime
) -> None:
    ends = policy.expires_at(rule, now=now)
    params = {"of": key, "new_recent": recent, "new_in_a_row": in_a_row, "new_expires_at": ends}
    tx.execute(SET_COUNT, params)


def _give_back_earlier(tx: Connection, taken: Try) -> None:
    """Uncount a try that others followed; nothing where the count has lost it since."""
    row = tx.execute(LOCK_COUNT, {"of": taken.key}).one_or_none()
    rest = policy.without(row.recent, taken.moment) if row else None
    if rest is not None:
        tx.execute(GIVE_BACK_EARLIER, {"of": taken.key, "new_recent": rest})
