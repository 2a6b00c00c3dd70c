"""All SQL of sessions, and the seal of each row.

The seal is a MAC over what a session is: whose, since when and until when, by which cookie,
and what it proves. Whoever can write to the database but does not hold the master keys can
neither put a session there, nor move one to another account, nor make one prove more, nor bring
back one that has ended.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    LargeBinary,
    Row,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from twinlock.core.keyring import Keyring
from twinlock.core.proof import Acr, SubjectId
from twinlock.db.rows import Rows, kept
from twinlock.db.types import UtcDateTime, database_now, half_a_minute_ago
from twinlock.sessions.policy import Session
from twinlock.sessions.tables import session

log = logging.getLogger("twinlock.sessions")

_SEAL: Final = "session"
_ACRS: Final = frozenset(Acr)
_ENDED: Final = {
    "ended_at": bindparam("moment", type_=UtcDateTime()),
    "changed_at": database_now(),
    "seal": literal_column("''", LargeBinary),
}
"""What ends takes its seal along: who takes the end away from the row brings nothing to life."""

INSERT_SESSION = insert(session).values(changed_at=database_now())
GET_SESSION = select(session).where(session.c.id == bindparam("session_id"))
GET_BY_COOKIE = select(session).where(session.c.cookie_digest == bindparam("digest"))
FIND_SESSIONS = (
    select(session)
    .where(
        session.c.subject_id == bindparam("subject"),
        session.c.ended_at.is_(None),
        session.c.expires_at > bindparam("moment", type_=UtcDateTime()),
        session.c.idle_until > bindparam("moment", type_=UtcDateTime()),
    )
    .order_by(session.c.created_at.desc(), session.c.id)
)
END_SESSION = (
    update(session)
    .where(session.c.id == bindparam("session_id"), session.c.ended_at.is_(None))
    .values(_ENDED)
)
END_SESSION_OF = END_SESSION.where(session.c.subject_id == bindparam("subject"))
END_SESSIONS = (
    update(session)
    .where(session.c.subject_id == bindparam("subject"), session.c.ended_at.is_(None))
    .values(_ENDED)
    .returning(session.c.id)
)
END_OTHER_SESSIONS = END_SESSIONS.where(session.c.id != bindparam("kept"))
END_SESSIONS_OF_ACR = END_OTHER_SESSIONS.where(session.c.acr == bindparam("which_acr"))
END_EVERY_SESSION = update(session).where(session.c.ended_at.is_(None)).values(_ENDED)
END_OLDEST = (
    update(session)
    .where(
        session.c.id.in_(
            select(session.c.id)
            .where(
                session.c.subject_id == bindparam("subject"),
                session.c.ended_at.is_(None),
                session.c.id != bindparam("newest"),
            )
            .order_by(session.c.created_at.desc(), session.c.id)
            .offset(bindparam("others"))
        )
    )
    .values(_ENDED)
    .returning(session.c.id)
)
MARK_CHANGED = (
    update(session)
    .where(session.c.subject_id == bindparam("subject"), session.c.ended_at.is_(None))
    .values(changed_at=database_now())
    .returning(session.c.id)
)
MARK_EVERY_CHANGED = (
    update(session).where(session.c.ended_at.is_(None)).values(changed_at=database_now())
)
ROTATE_REFRESH = (
    update(session)
    .where(
        session.c.id == bindparam("session_id"),
        session.c.refresh_counter == bindparam("presented"),
        session.c.ended_at.is_(None),
    )
    .values(
        refresh_counter=session.c.refresh_counter + 1,
        rotated_at=bindparam("moment", type_=UtcDateTime()),
        last_seen_at=bindparam("moment", type_=UtcDateTime()),
        idle_until=bindparam("new_idle_until", type_=UtcDateTime()),
        seal=bindparam("new_seal"),
    )
)
SEE_SESSION = (
    update(session)
    .where(session.c.id == bindparam("session_id"), session.c.ended_at.is_(None))
    .values(
        last_seen_at=bindparam("moment", type_=UtcDateTime()),
        idle_until=bindparam("new_idle_until", type_=UtcDateTime()),
    )
)
STEP_UP = (
    update(session)
    .where(
        session.c.id == bindparam("session_id"),
        session.c.cookie_digest == bindparam("old_cookie"),
        session.c.ended_at.is_(None),
    )
    .values(
        acr=bindparam("new_acr"),
        amr=bindparam("new_amr"),
        auth_time=bindparam("new_auth_time", type_=UtcDateTime()),
        cookie_digest=bindparam("new_cookie"),
        seal=bindparam("new_seal"),
        changed_at=database_now(),
    )
)
LIST_CHANGED = select(session.c.id, session.c.changed_at).where(
    session.c.changed_at > half_a_minute_ago()
)
COUNT_WITH_OLDER_TOKENS = select(func.count()).where(
    session.c.cookie_digest.is_(None),
    session.c.ended_at.is_(None),
    session.c.expires_at > bindparam("moment", type_=UtcDateTime()),
    session.c.idle_until > bindparam("moment", type_=UtcDateTime()),
    session.c.rotated_at < bindparam("before", type_=UtcDateTime()),
)
LIST_LIVING = (
    select(session)
    .where(
        session.c.id > bindparam("after"),
        session.c.ended_at.is_(None),
        session.c.expires_at > bindparam("moment", type_=UtcDateTime()),
    )
    .order_by(session.c.id)
    .limit(bindparam("limit"))
)
RESEAL_SESSION = (
    update(session)
    .where(session.c.id == bindparam("session_id"), session.c.seal == bindparam("old_seal"))
    .values(seal=bindparam("new_seal"))
)
EXPIRE_SESSIONS = delete(session).where(
    session.c.id.in_(
        select(session.c.id)
        .where(session.c.expires_at < bindparam("moment", type_=UtcDateTime()))
        .order_by(session.c.expires_at)
        .limit(bindparam("limit"))
    )
)
EXPIRE_ENDED = delete(session).where(
    session.c.id.in_(
        select(session.c.id)
        .where(
            session.c.ended_at.is_not(None),
            session.c.ended_at < bindparam("before", type_=UtcDateTime()),
        )
        .order_by(session.c.ended_at)
        .limit(bindparam("limit"))
    )
)


def insert_session(tx: Connection, keyring: Keyring, new: Session) -> None:
    """Create a session."""
    row = {
        "id": new.id,
        "subject_id": new.subject,
        "generation": new.generation,
        "seal": _seal(keyring, new),
        "cookie_digest": new.cookie_digest,
        "refresh_counter": new.refresh_counter,
        "rotated_at": new.rotated_at,
        "acr": new.acr,
        "amr": " ".join(new.amr),
        "auth_time": new.auth_time,
        "scope": " ".join(new.scope),
        "ip": new.ip,
        "user_agent": new.user_agent,
        "last_seen_at": new.last_seen_at,
        "idle_until": new.idle_until,
        "expires_at": new.expires_at,
        "ended_at": None,
        "created_at": new.created_at,
    }
    tx.execute(INSERT_SESSION, row)


def get_session(db: Connection, keyring: Keyring, session_id: str) -> Session | None:
    """Return a session, ended ones included; None where its seal is broken."""
    return session_of(keyring, ask_session(db, session_id))


def ask_session(db: Connection, session_id: str) -> Rows:
    """Ask for a session, so that other statements travel with this one."""
    return kept(db.execute(GET_SESSION, {"session_id": session_id}))


def session_of(keyring: Keyring, asked: Rows) -> Session | None:
    """Return the session that was asked for; None where its seal is broken."""
    return _sealed(keyring, asked.one_or_none())


def get_session_by_cookie(db: Connection, keyring: Keyring, *, digest: bytes) -> Session | None:
    """Return the session whose cookie has this digest; None where its seal is broken."""
    return _sealed(keyring, db.execute(GET_BY_COOKIE, {"digest": digest}).one_or_none())


def find_sessions(db: Connection, subject: SubjectId, *, now: datetime) -> list[Session]:
    """Return the sessions of a subject that have not ended, the newest first."""
    rows = db.execute(FIND_SESSIONS, {"subject": subject, "moment": now})
    return [found for row in rows if (found := _session(row))]


def end_session(tx: Connection, session_id: str, *, now: datetime) -> bool:
    """End a session; False when it had ended."""
    return tx.execute(END_SESSION, {"session_id": session_id, "moment": now}).rowcount == 1


def end_session_of(tx: Connection, session_id: str, *, subject: SubjectId, now: datetime) -> bool:
    """End a session if it is the subject's own; False otherwise."""
    params = {"session_id": session_id, "subject": subject, "moment": now}
    return tx.execute(END_SESSION_OF, params).rowcount == 1


def end_sessions(tx: Connection, subject: SubjectId, *, now: datetime) -> list[str]:
    """End every session of a subject and return their ids."""
    return list(tx.execute(END_SESSIONS, {"subject": subject, "moment": now}).scalars())


def end_other_sessions(
    tx: Connection, subject: SubjectId, *, kept: str, now: datetime
) -> list[str]:
    """End every session of a subject but one and return the ended ids."""
    params = {"subject": subject, "kept": kept, "moment": now}
    return list(tx.execute(END_OTHER_SESSIONS, params).scalars())


def end_sessions_of_acr(
    tx: Connection, subject: SubjectId, *, acr: Acr, kept: str, now: datetime
) -> list[str]:
    """End the sessions of a subject that prove exactly this, but one; return the ended ids."""
    params = {"subject": subject, "which_acr": acr, "kept": kept, "moment": now}
    return list(tx.execute(END_SESSIONS_OF_ACR, params).scalars())


def end_every_session(tx: Connection, *, now: datetime) -> int:
    """End everybody's sessions, after a backup was put back."""
    return tx.execute(END_EVERY_SESSION, {"moment": now}).rowcount


def end_oldest(
    tx: Connection, subject: SubjectId, *, newest: str, kept: int, now: datetime
) -> list[str]:
    """End all but the *kept* newest sessions of a subject and return the ended ids.

    Args:
        newest: The one just opened, which stays even where others began at the same moment.
    """
    params = {"subject": subject, "newest": newest, "others": kept - 1, "moment": now}
    return list(tx.execute(END_OLDEST, params).scalars())


def mark_changed(tx: Connection, subject: SubjectId) -> list[str]:
    """Have every process read a subject's sessions afresh; return their ids."""
    return list(tx.execute(MARK_CHANGED, {"subject": subject}).scalars())


def mark_every_changed(tx: Connection) -> int:
    """Have every process read every session afresh, when a key is retired."""
    return tx.execute(MARK_EVERY_CHANGED).rowcount


def rotate_refresh(
    tx: Connection,
    keyring: Keyring,
    rotated: Session,
    *,
    presented: int,
    idle_until: datetime,
    now: datetime,
) -> bool:
    """Spend the refresh token of counter *presented*; False when it is not the current one."""
    params = {
        "session_id": rotated.id,
        "presented": presented,
        "new_idle_until": idle_until,
        "new_seal": _seal(keyring, replace(rotated, refresh_counter=presented + 1)),
        "moment": now,
    }
    return tx.execute(ROTATE_REFRESH, params).rowcount == 1


def see_session(tx: Connection, session_id: str, *, idle_until: datetime, now: datetime) -> None:
    """Note that a session was used."""
    params = {"session_id": session_id, "new_idle_until": idle_until, "moment": now}
    tx.execute(SEE_SESSION, params)


def step_up(tx: Connection, keyring: Keyring, stepped_up: Session, *, old_cookie: bytes) -> bool:
    """Record a stronger proof of a cookie session, under its new cookie (ASVS 5.0 7.2.4)."""
    params = {
        "session_id": stepped_up.id,
        "new_acr": stepped_up.acr,
        "new_amr": " ".join(stepped_up.amr),
        "new_auth_time": stepped_up.auth_time,
        "old_cookie": old_cookie,
        "new_cookie": stepped_up.cookie_digest,
        "new_seal": _seal(keyring, stepped_up),
    }
    return tx.execute(STEP_UP, params).rowcount == 1


def list_changed(db: Connection) -> dict[str, datetime]:
    """Return the sessions changed in the last half minute, with the moment of the change."""
    return {row.id: row.changed_at for row in db.execute(LIST_CHANGED)}


def count_with_older_tokens(db: Connection, *, before: datetime, now: datetime) -> int:
    """Return how many living sessions hold a refresh token that was issued before a moment."""
    return db.execute(COUNT_WITH_OLDER_TOKENS, {"before": before, "moment": now}).scalar_one()


def list_living(db: Connection, *, after: str, limit: int, now: datetime) -> Sequence[Row[Any]]:
    """Return rows of sessions that have not ended, in the order of their ids."""
    return db.execute(LIST_LIVING, {"after": after, "limit": limit, "moment": now}).all()


def reseal_session(tx: Connection, keyring: Keyring, row: Row[Any]) -> bool:
    """Replace a row's seal by one under a newer key; False when it changed or does not hold."""
    found = _sealed(keyring, row)
    if found is None:
        return False
    params = {"session_id": row.id, "old_seal": row.seal, "new_seal": _seal(keyring, found)}
    return tx.execute(RESEAL_SESSION, params).rowcount == 1


def expire(tx: Connection, *, now: datetime, limit: int) -> int:
    """Delete at most *limit* sessions whose absolute lifetime is over; return how many."""
    return tx.execute(EXPIRE_SESSIONS, {"moment": now, "limit": limit}).rowcount


def expire_ended(tx: Connection, *, before: datetime, limit: int) -> int:
    """Delete at most *limit* sessions that ended before a moment; return how many."""
    return tx.execute(EXPIRE_ENDED, {"before": before, "limit": limit}).rowcount


def _seal(keyring: Keyring, session: Session) -> bytes:
    return keyring.mac(_SEAL, *session.sealed_content)


def _is_seal(keyring: Keyring, seal: bytes, session: Session) -> bool:
    """Tell whether a seal is the session's; an earlier release's says nothing of its counter."""
    content = session.sealed_content
    return keyring.is_mac(seal, _SEAL, *content) or keyring.is_mac(seal, _SEAL, *content[:-1])


def _sealed(keyring: Keyring, row: Row[Any] | None) -> Session | None:
    session = _session(row)
    if row is None:
        return None
    if session is not None and session.ended_at is not None:
        return session  # over for good; its seal is gone
    if session is None or not _is_seal(keyring, row.seal, session):
        log.critical("session_seal_broken", extra={"session": row.id})
        return None
    return session


def _session(row: Row[Any] | None) -> Session | None:
    """Return the facts of a row; None where there is none, or none that we wrote."""
    if row is None or row.acr not in _ACRS:
        return None
    return Session(
        id=row.id,
        subject=SubjectId(row.subject_id),
        generation=row.generation,
        cookie_digest=row.cookie_digest,
        refresh_counter=row.refresh_counter,
        rotated_at=row.rotated_at,
        acr=Acr(row.acr),
        amr=tuple(row.amr.split()),
        auth_time=row.auth_time,
        scope=tuple(row.scope.split()),
        ip=row.ip,
        user_agent=row.user_agent,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        idle_until=row.idle_until,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )
