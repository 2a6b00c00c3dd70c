"""What needs an admin's attention, sorted by harm; every look at it is short and bounded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.resets import store as resets
from twinlock.accounts.search import store as search
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.core.proof import Acr, SubjectId
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows.event_ids import first_id_of
from twinlock.flows.figures import Figures
from twinlock.flows.parts import Parts
from twinlock.flows.staging import is_alive
from twinlock.mail import store as outbox
from twinlock.policies.policy import Kind as PolicyKind
from twinlock.policies.policy import Policy
from twinlock.tokens import store as signing_keys

ROTATE_AFTER: Final = timedelta(days=90)
LATE_MAIL: Final = timedelta(minutes=15)
MOST: Final = 100
"""Beyond it, there are simply many."""
_LATELY: Final = timedelta(days=7)


class Matter(StrEnum):
    """What it is about, the most harmful first."""

    SEAL_BROKEN = "seal_broken"
    ADMINS_WITHOUT_FACTOR = "admins_without_factor"
    TOKEN_REUSED = "token_reused"
    PASSKEY_COPIED = "passkey_copied"
    RESETS_WAIT = "resets_wait"
    BEHIND_POLICY = "behind_policy"
    MAIL_IS_LATE = "mail_is_late"
    MAIL_GIVEN_UP = "mail_given_up"
    KEY_IS_OLD = "key_is_old"
    ONE_ADMIN = "one_admin"


@dataclass(frozen=True, slots=True)
class Point:
    """Something that needs attention.

    Attributes:
        number: How many of them; `MOST` also says that there may be more.
        at: The moment that matters: the newest, or the one from which on it counts.
        account: The one account that it is about, where it is one.
        policy: The policy that it is about, where it is one.
    """

    matter: Matter
    number: int
    at: datetime | None = None
    account: Account | None = None
    policy: Policy | None = None


_ALARMS: Final = (
    (Matter.SEAL_BROKEN, EventType.SEAL_BROKEN),
    (Matter.TOKEN_REUSED, EventType.REFRESH_REUSED),
    (Matter.TOKEN_REUSED, EventType.DEVICE_REUSED),
    (Matter.PASSKEY_COPIED, EventType.PASSKEY_COPIED),
    (Matter.MAIL_GIVEN_UP, EventType.MAIL_GIVEN_UP),
)


def read_attention(parts: Parts, figures: Figures, *, now: datetime) -> Sequence[Point]:
    """Return what needs attention now, the most harmful first."""
    found = parts.database.reading(_read, parts, figures, now=now)
    order = list(Matter)
    return sorted(found, key=lambda point: order.index(point.matter))


def _read(db: Connection, parts: Parts, figures: Figures, *, now: datetime) -> list[Point]:
    return [
        *_alarms(db, parts, now=now),
        *_admins(db),
        *_resets(db, parts, now=now),
        *_policies(db, parts, figures, now=now),
        *_mail(db, now=now),
        *_keys(db, now=now),
    ]


def _alarms(db: Connection, parts: Parts, *, now: datetime) -> Iterator[Point]:
    oldest = first_id_of(now - _LATELY)
    for matter, type_ in _ALARMS:
        number = audit.count_of_type(db, type_, first=oldest, before=audit.NEWEST, limit=MOST)
        if not number:
            continue
        [newest] = audit.list_events(db, limit=1, type_=type_)
        subject = SubjectId(newest.subject_id) if newest.subject_id else None
        account = parts.accounts.get(db, subject) if subject and number == 1 else None
        yield Point(matter, number, newest.at, account)


def _admins(db: Connection) -> Iterator[Point]:
    admins = search.list_acting_admins(db, limit=MOST)
    methods = authenticators.find_methods(db, [one.subject for one in admins])
    without = [one for one in admins if not methods.get(one.subject)]
    if without:
        account = without[0] if len(without) == 1 else None
        yield Point(Matter.ADMINS_WITHOUT_FACTOR, len(without), account=account)
    if len(admins) == 1:
        yield Point(Matter.ONE_ADMIN, 1, account=admins[0])


def _resets(db: Connection, parts: Parts, *, now: datetime) -> Iterator[Point]:
    waiting = []
    for staged in resets.list_waiting(db, parts.keyring, now=now, limit=MOST):
        account = parts.accounts.get(db, staged.subject)
        if account is not None and is_alive(staged, account, now=now):
            waiting.append((account, staged))
    for account, staged in waiting[:3]:
        yield Point(Matter.RESETS_WAIT, 1, staged.due_at, account)
    if len(waiting) > 3:
        yield Point(Matter.RESETS_WAIT, len(waiting) - 3)


def _policies(db: Connection, parts: Parts, figures: Figures, *, now: datetime) -> Iterator[Point]:
    """Tell how many accounts a policy of everyone still waits for.

    Policies of roles are left out: that admins have a second factor is a point of its own.
    """
    for policy in parts.policies.read(db):
        if policy.kind is not PolicyKind.EVERYONE or policy.acr is Acr.AAL1:
            continue
        behind = figures.accounts.number - figures.with_factor.number
        if behind > 0:
            yield Point(Matter.BEHIND_POLICY, behind, policy.since, policy=policy)


def _mail(db: Connection, *, now: datetime) -> Iterator[Point]:
    waiting = outbox.count_waiting(db)
    if waiting.oldest is not None and waiting.oldest < now - LATE_MAIL:
        yield Point(Matter.MAIL_IS_LATE, waiting.mails, waiting.oldest)


def _keys(db: Connection, *, now: datetime) -> Iterator[Point]:
    active = signing_keys.get_active(db)
    if active is not None and active.created_at <= now - ROTATE_AFTER:
        age = (now - active.created_at).days
        yield Point(Matter.KEY_IS_OLD, age, active.created_at)
