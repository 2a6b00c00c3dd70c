"""Putting mails into the outbox, in the transaction of what they tell.

Mail goes to addresses that were verified, and to no other: to an unverified one goes nothing but
the link that verifies it. So nobody learns of an account by giving it a stranger's address.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.names import login_key
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import SubjectId
from twinlock.core.secrets import new_id
from twinlock.flows.parts import Parts
from twinlock.mail import store as outbox
from twinlock.mail.letters import Kind, Letter, sentence_of
from twinlock.throttle import store as throttle
from twinlock.throttle.policy import Limit, Rule, Throttled
from twinlock.throttle.store import Try

NOTICE_LIFETIME: Final = timedelta(hours=24)
"""How long it is tried to deliver what tells of something that happened."""
_SELDOM: Final = timedelta(hours=1)
_LONGEST_NAME: Final = 64
RECOVERY_REQUEST: Final = "recovery_request"
"""Stands in the outbox for a request whose account is yet to be looked for."""
REGISTRATION_REQUEST: Final = "registration_request"
"""Likewise."""


def notify(
    tx: Connection,
    parts: Parts,
    account: Account,
    kind: Kind,
    *,
    now: datetime,
    values: Mapping[str, str] | None = None,
) -> None:
    """Tell the owner of an account what happened to it, if that can be told."""
    if parts.mail is None or account.email is None or not account.is_email_verified:
        return
    rule = parts.throttle.mails
    if kind is Kind.WRONG_SECOND_FACTOR:
        rule = _seldom(rule)
    if not may_mail(tx, parts, kind, account.subject, rule=rule, now=now):
        return
    told = {**who(account), "at": sentence_of(now), **(values or {})}
    letter = Letter(kind, account.email, told)
    post(tx, parts, letter, subject=account.subject, lifetime=NOTICE_LIFETIME, now=now)


def post_enrollment_link(
    tx: Connection, parts: Parts, account: Account, token: str, *, now: datetime
) -> None:
    """Mail the way back to an account whose factors were reset, if there is a way to mail.

    It is not counted: nothing but a reset sends it, and without it the owner stays outside.
    """
    if parts.mail is None or account.email is None or not account.is_email_verified:
        return
    lifetime = parts.lifetimes.enrollment_link
    told = {
        **who(account),
        "at": sentence_of(now),
        "until": sentence_of(now + lifetime),
        "link": parts.mail.letterhead.link("enrollment", "link", token),
    }
    letter = Letter(Kind.FACTORS_RESET, account.email, told)
    post(tx, parts, letter, subject=account.subject, lifetime=lifetime, now=now)


def warn_of_wrong_code(
    tx: Connection, parts: Parts, account: Account | None, name: str, *, now: datetime
) -> None:
    """Tell the owner that somebody has the password; otherwise write a mail to nobody.

    So a denial takes as long for a wrong password as for a wrong code. The worker that delivers
    mails throws the mail to nobody away.

    Args:
        account: Whose password was right; None when it was wrong.
        name: The login name as typed.
    """
    kind = Kind.WRONG_SECOND_FACTOR
    if account is not None and account.email is not None and account.is_email_verified:
        notify(tx, parts, account, kind, now=now)
    elif parts.mail is not None:
        nobody = login_key(name).text
        rule = _seldom(parts.throttle.mails)
        if may_mail(tx, parts, f"{kind}-decoy", nobody, rule=rule, now=now):
            told = {"username": nobody[:_LONGEST_NAME], "at": sentence_of(now)}
            letter = Letter(kind, "", told)
            post(tx, parts, letter, subject=None, lifetime=NOTICE_LIFETIME, now=now)


def who(account: Account) -> dict[str, str]:
    """Return what a letter knows of its reader: what to call them, and in which language."""
    return {"username": account.username, "language": account.language or ""}


def may_mail(
    tx: Connection,
    parts: Parts,
    kind: str,
    who: str,
    *,
    rule: Rule | None = None,
    now: datetime,
) -> bool:
    """Count one mail of this kind; False when it would be one too many.

    Args:
        who: A subject's id, or an address that is nobody's yet.
    """
    taken = take_mail(tx, parts, kind, who, rule=rule or parts.throttle.mails, now=now)
    return not isinstance(taken, Throttled)


def take_mail(
    tx: Connection, parts: Parts, kind: str, who: str, *, rule: Rule, now: datetime
) -> Try | Throttled:
    """Count one mail of this kind, or say how long to wait until one will be sent."""
    key = parts.digest_key.digest("throttle/mail", kind, who)
    return throttle.take_try(tx, rule=rule, key=key, now=now)


def post(
    tx: Connection,
    parts: Parts,
    letter: Letter,
    *,
    subject: SubjectId | None,
    lifetime: timedelta,
    now: datetime,
) -> None:
    """Put a letter into the outbox."""
    put(tx, parts, letter.kind, letter.packed(), subject=subject, lifetime=lifetime, now=now)


def put(
    tx: Connection,
    parts: Parts,
    kind: str,
    body: bytes,
    *,
    subject: SubjectId | None,
    lifetime: timedelta,
    now: datetime,
) -> None:
    """Put a body of any kind into the outbox, sealed to its row and account."""
    mail_id = new_id()
    sealed = parts.keyring.seal(
        body, table="outbox", column="sealed", row=mail_id, account=subject or ""
    )
    outbox.insert_mail(
        tx,
        mail_id=mail_id,
        kind=kind,
        subject=subject,
        sealed=sealed,
        expires_at=now + lifetime,
        now=now,
    )


def open_body(parts: Parts, mail_id: str, subject: str | None, sealed: bytes) -> bytes:
    """Return what `put` sealed.

    Raises:
        SealBrokenError: The row was changed, or its key is gone.
    """
    return parts.keyring.open(
        sealed, table="outbox", column="sealed", row=mail_id, account=subject or ""
    )


def reseal(tx: Connection, parts: Parts, *, after: str, limit: int) -> tuple[str, int]:
    """Seal waiting mails under the newest key.

    Returns:
        The id after which the next batch begins (empty at the end), and how many there were.
    """
    rows = outbox.list_sealed(tx, after=after, limit=limit)
    stale = [row for row in rows if parts.keyring.is_stale_seal(row.sealed)]
    resealed = 0
    for row in stale:
        try:
            body = open_body(parts, row.id, row.subject_id, row.sealed)
        except SealBrokenError:
            continue  # whoever comes to deliver it gives it up
        sealed = parts.keyring.seal(
            body, table="outbox", column="sealed", row=row.id, account=row.subject_id or ""
        )
        resealed += outbox.reseal(tx, row.id, old=row.sealed, new=sealed)
    return (rows[-1].id if len(rows) == limit else ""), resealed


def _seldom(rule: Rule) -> Rule:
    """Return a rule that lets through one an hour as well."""
    return Rule(rule.name, (Limit(1, _SELDOM), *rule.limits))
