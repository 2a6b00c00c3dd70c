"""All SQL of the mailboxes that sign-in codes go to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from twinlock.core.proof import SubjectId
from twinlock.factors.email_code.tables import email_code

FIND_MAILBOXES = (
    select(email_code)
    .where(email_code.c.subject_id == bindparam("subject"))
    .order_by(email_code.c.created_at.desc(), email_code.c.authenticator_id)
)
INSERT_MAILBOX = insert(email_code)
DELETE_MAILBOX = delete(email_code).where(
    email_code.c.authenticator_id == bindparam("id"),
    email_code.c.subject_id == bindparam("subject"),
)


def find_mailboxes(db: Connection, account: SubjectId) -> Sequence[Row[Any]]:
    """Return the mailboxes of an account, the newest first."""
    return db.execute(FIND_MAILBOXES, {"subject": account}).all()


def insert_mailbox(
    tx: Connection,
    account: SubjectId,
    authenticator_id: str,
    *,
    address: str,
    tag: bytes,
    now: datetime,
) -> None:
    """Add a mailbox that has just answered."""
    row = {
        "authenticator_id": authenticator_id,
        "subject_id": account,
        "address": address,
        "tag": tag,
        "created_at": now,
    }
    tx.execute(INSERT_MAILBOX, row)


def delete_mailbox(tx: Connection, account: SubjectId, authenticator_id: str) -> None:
    """Delete one mailbox."""
    tx.execute(DELETE_MAILBOX, {"id": authenticator_id, "subject": account})
