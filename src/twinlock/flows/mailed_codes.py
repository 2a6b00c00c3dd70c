"""Codes by mail: whether one may be sent, whether it may count, and sending it.

A mailbox must not stand for both factors: while the password is one that was set through a mailed
link, a mailed code counts for nothing until another factor has been used.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller
from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.protocol import MailedCode
from twinlock.flows import mailing
from twinlock.flows.counting import Counting
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.mail.letters import Kind, Letter, sentence_of
from twinlock.throttle.policy import Throttled
from twinlock.throttle.store import Try

EMAIL_UNVERIFIED: Final = Refused(
    "email_unverified", "Verify the e-mail address of your account first."
)
SAME_MAILBOX: Final = Refused(
    "same_mailbox",
    "Your password was set through a mailed link: enroll another second factor first, or change "
    "your password.",
)
TOO_MANY: Final = Refused("too_many_mails", "Too many mails were asked for. Try again tomorrow.")


def are_apart(
    parts: Parts, account: Account | None, authenticators_now: Sequence[Authenticator]
) -> bool:
    """Tell whether an account's password and its mailed codes do not come from one mailbox."""
    if account is None:
        return False
    since = account.password_mailed_at
    return since is None or any(
        one.last_used_at is not None and one.last_used_at > since
        for one in authenticators_now
        if (factor := parts.factors.get(one.method)) and not factor.is_mailed
    )


def why_not_enroll(
    parts: Parts, account: Account, authenticators_now: Sequence[Authenticator]
) -> Refused | None:
    """Return why an account may not enroll its mailbox; None when it may."""
    if account.email is None or not account.is_email_verified:
        return EMAIL_UNVERIFIED
    return None if are_apart(parts, account, authenticators_now) else SAME_MAILBOX


def take_mail(
    tx: Connection,
    parts: Parts,
    counting: Counting,
    account: Account,
    caller: Caller,
    *,
    now: datetime,
) -> Try | Throttled:
    """Count one mail; the last one of a day is left to browsers that the account knows."""
    is_known = counting.is_known_browser(tx, account.subject, caller, now=now)
    rules = parts.throttle
    rule = rules.mailed_codes if is_known else rules.mailed_codes_for_strangers
    return mailing.take_mail(tx, parts, Kind.SIGN_IN_CODE, account.subject, rule=rule, now=now)


def send(
    tx: Connection,
    parts: Parts,
    account: Account,
    mailed: MailedCode,
    *,
    ends_at: datetime,
    now: datetime,
) -> None:
    """Put the mail of a code into the outbox, until the code or what it belongs to is dead."""
    lifetime = min(parts.lifetimes.email_code, ends_at - now)
    values = {
        **mailing.who(account),
        "code": mailed.code,
        "until": sentence_of(now + lifetime),
    }
    letter = Letter(Kind.SIGN_IN_CODE, mailed.to, values)
    mailing.post(tx, parts, letter, subject=account.subject, lifetime=lifetime, now=now)
