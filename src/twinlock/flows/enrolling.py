"""What every enrollment has in common, in a session and inside a login."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller
from twinlock.core.clock import in_order
from twinlock.core.proof import Reason, Rejected, SubjectId, Verified
from twinlock.core.secrets import new_id
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.protocol import Factor, Holder, Prompt
from twinlock.flows import mailed_codes, mailing
from twinlock.flows.counting import Counting
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.parts import Parts
from twinlock.mail.letters import Kind

UNKNOWN_METHOD: Final = Refused("unknown_method", "There is no such method to enroll.")
TOO_MANY: Final = Refused(
    "too_many_authenticators", "Remove an authenticator of this method first."
)
ENROLLMENT_OVER: Final = Refused(
    "enrollment_expired", "This enrollment is over or was answered too often. Begin again."
)
METHOD_NOT_ALLOWED: Final = Refused(
    "method_not_allowed", "A policy does not let this account enroll that method."
)
WRONG_ANSWER: Final = Refused("wrong_answer", "That answer does not confirm the new authenticator.")
CLOCK_DRIFT: Final = Refused(
    "clock_drift",
    "That code belongs to another time. Set the clock of your device to automatic and try again.",
)


@dataclass(frozen=True, slots=True)
class EnrollmentBegun:
    """An enrollment that waits for its confirming answer."""

    handle: str = field(repr=False)
    expires_in: timedelta
    options: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A new authenticator that its owner has answered with; the caller writes the seal over it."""

    authenticator: Authenticator
    verified: Verified


def factor_to_enroll(parts: Parts, method: str) -> Factor | None:
    """Return the factor called *method*, if it is one that people enroll."""
    factor = parts.factors.get(method)
    return factor if factor is not None and factor.max_per_account > 0 else None


def holder_of(account: Account) -> Holder:
    """Return whom an enrollment is for."""
    email = account.email if account.is_email_verified else None
    return Holder(account.subject, account.username, account.full_name or account.username, email)


def must_verify_email(parts: Parts, account: Account, *, is_demanded: bool) -> bool:
    """Tell whether an account is to verify its address before it enrolls of its own will.

    Notices and ways back go to verified addresses only: whoever protects an account with a factor
    is to hear of what happens to it. What a policy demands waits for no mail, and neither does an
    account without an address, a host's, or one of a service that sends none.
    """
    is_used = parts.mail is not None and parts.accounts.are_ours and account.email is not None
    return is_used and not account.is_email_verified and not is_demanded


def is_full(factor: Factor, authenticators_now: Sequence[Authenticator]) -> bool:
    """Tell whether an account has as many authenticators of a method as it may."""
    same = sum(one.method == factor.method for one in authenticators_now)
    return same >= factor.max_per_account


def prompt(
    tx: Connection,
    parts: Parts,
    counting: Counting,
    factor: Factor,
    account: Account,
    authenticators_now: Sequence[Authenticator],
    caller: Caller,
    *,
    now: datetime,
) -> Prompt | Refused:
    """Begin the enrollment of *factor*; the code of a mailbox goes out now."""
    if not factor.is_mailed:
        return factor.begin_enrollment(tx, holder_of(account), now=now)
    refused = mailed_codes.why_not_enroll(parts, account, authenticators_now)
    if refused is not None:
        return refused
    taken = mailed_codes.take_mail(tx, parts, counting, account, caller, now=now)
    if isinstance(taken, Throttled):
        return mailed_codes.TOO_MANY
    begun = factor.begin_enrollment(tx, holder_of(account), now=now)
    if begun.mailed is not None:
        ends_at = now + parts.lifetimes.enrollment
        mailed_codes.send(tx, parts, account, begun.mailed, ends_at=ends_at, now=now)
    return begun


def confirm(
    tx: Connection,
    factor: Factor,
    account: SubjectId,
    state: bytes,
    answer: object,
    label: str,
    *,
    now: datetime,
) -> Confirmed | Rejected:
    """Store a new authenticator, if *answer* is its own."""
    enrolled = Authenticator(
        id=new_id(),
        method=factor.method,
        label=label,
        code_digits=factor.code_digits,
        created_at=in_order(now),
        last_used_at=now,
    )
    checked = factor.finish_enrollment(tx, account, enrolled.id, state, answer, now=now)
    if isinstance(checked, Rejected):
        return checked
    authenticators.insert_authenticator(tx, account, enrolled)
    return Confirmed(enrolled, checked)


def refusal_of(rejected: Rejected) -> Refused:
    """Return what the owner is told of an answer that confirms nothing."""
    return CLOCK_DRIFT if rejected.reason is Reason.CLOCK_DRIFT else WRONG_ANSWER


def tell_of_factor(
    tx: Connection,
    parts: Parts,
    account: Account,
    kind: Kind,
    authenticator: Authenticator,
    *,
    now: datetime,
) -> None:
    """Tell the owner of a factor that came or went."""
    values = {"label": authenticator.label, "method": authenticator.method}
    mailing.notify(tx, parts, account, kind, now=now, values=values)
