"""All SQL of familiar networks and browsers: those that an account has fully signed in from."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
)

from twinlock.core.proof import SubjectId
from twinlock.db.conflict import on_conflict_update
from twinlock.db.types import UtcDateTime
from twinlock.throttle.familiar.tables import familiar
from twinlock.throttle.policy import BROWSER, FAMILIAR_FOR, NETWORK, Familiar, FamiliarFor, Kind

_REMEMBERED_AGAIN_AFTER: Final = timedelta(days=1)

_seen_again = {"seen_at": literal_column("excluded.seen_at", UtcDateTime)}
_is_seen_long_ago = familiar.c.seen_at <= bindparam("day_before", type_=UtcDateTime())
_familiar_key = (familiar.c.subject_id, familiar.c.kind, familiar.c.digest)
_is_kind_forgotten = and_(
    familiar.c.kind == bindparam("of_kind"),
    familiar.c.seen_at <= bindparam("before", type_=UtcDateTime()),
)

REMEMBER = (
    insert(familiar)
    .ext(on_conflict_update(*_familiar_key, set_=_seen_again, where=_is_seen_long_ago))
    .returning(familiar.c.created_at)
)
FIND_OTHER_NETWORK = (
    select(familiar.c.digest)
    .where(
        familiar.c.subject_id == bindparam("subject"),
        familiar.c.kind == NETWORK,
        familiar.c.digest != bindparam("network"),
    )
    .limit(1)
)
FIND_FAMILIAR = select(familiar.c.kind).where(
    familiar.c.subject_id == bindparam("subject"),
    or_(
        and_(
            familiar.c.kind == NETWORK,
            familiar.c.digest == bindparam("network"),
            familiar.c.seen_at > bindparam("network_since", type_=UtcDateTime()),
        ),
        and_(
            familiar.c.kind == BROWSER,
            familiar.c.digest == bindparam("browser"),
            familiar.c.seen_at > bindparam("browser_since", type_=UtcDateTime()),
        ),
    ),
)
LIST_BROWSERS = select(familiar.c.digest).where(
    familiar.c.subject_id == bindparam("subject"), familiar.c.kind == BROWSER
)
DELETE_ALL = delete(familiar).where(familiar.c.subject_id == bindparam("subject"))
EXPIRE = delete(familiar).where(
    tuple_(*_familiar_key).in_(
        select(*_familiar_key).where(_is_kind_forgotten).limit(bindparam("limit"))
    )
)


def remember(
    tx: Connection, *, subject_id: SubjectId, kind: Kind, digest: bytes, now: datetime
) -> bool:
    """Note a full sign-in from a network or a browser, at most once a day; tell if it is new."""
    row = {
        "subject_id": subject_id,
        "kind": kind,
        "digest": digest,
        "seen_at": now,
        "created_at": now,
        "day_before": now - _REMEMBERED_AGAIN_AFTER,
    }
    written = tx.execute(REMEMBER, row).first()
    return written is not None and bool(written.created_at == now)


def has_other_network(db: Connection, subject_id: SubjectId, *, network: bytes) -> bool:
    """Tell whether an account has fully signed in from another network before."""
    params = {"subject": subject_id, "network": network}
    return db.execute(FIND_OTHER_NETWORK, params).first() is not None


def find_familiar(
    db: Connection,
    *,
    subject_id: SubjectId | None,
    network: bytes,
    browser: bytes | None,
    lifetimes: FamiliarFor = FAMILIAR_FOR,
    now: datetime,
) -> Familiar:
    """Tell whether an account has fully signed in from a network and a browser of late.

    Where there is no account (None) the same is asked, so that it takes as long.
    """
    params = {
        "subject": subject_id or "",
        "network": network,
        "network_since": now - lifetimes.network,
        "browser": browser or b"",
        "browser_since": now - lifetimes.browser,
    }
    kinds = db.execute(FIND_FAMILIAR, params).scalars().all()
    return Familiar(network=NETWORK in kinds, browser=BROWSER in kinds)


def list_browsers(db: Connection, subject_id: SubjectId) -> Sequence[bytes]:
    """Return the digests of the browsers that an account has fully signed in from."""
    return db.execute(LIST_BROWSERS, {"subject": subject_id}).scalars().all()


def forget(tx: Connection, subject_id: SubjectId) -> None:
    """Make every network and browser a stranger to an account, as when it is deleted."""
    tx.execute(DELETE_ALL, {"subject": subject_id})


def expire(
    tx: Connection, *, lifetimes: FamiliarFor = FAMILIAR_FOR, now: datetime, limit: int
) -> int:
    """Delete at most *limit* networks and as many browsers not seen for long; return how many."""
    ends = {NETWORK: now - lifetimes.network, BROWSER: now - lifetimes.browser}
    return sum(
        tx.execute(EXPIRE, {"of_kind": kind, "before": end, "limit": limit}).rowcount
        for kind, end in ends.items()
    )
