"""What protects an account, read at one moment: for the page that shows all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.core.principal import User
from twinlock.core.proof import Acr, NoSecondFactor
from twinlock.devices import store as devices
from twinlock.devices.store import Device
from twinlock.factors.authenticators.store import Authenticator, Authenticators
from twinlock.factors.protocol import RecoveryCodesLeft
from twinlock.flows.demands import demands_of, enrollable
from twinlock.flows.factors import describe_all
from twinlock.flows.outcomes import Denied
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session

_EVENTS: Final = 8


@dataclass(frozen=True, slots=True)
class Security:
    """An account's locks, its address, its sessions, and the newest of its history.

    Attributes:
        details: What factors know of their authenticators beside the labels, by id.
    """

    authenticators: Sequence[Authenticator]
    recovery_codes: RecoveryCodesLeft
    email: str | None
    is_email_verified: bool
    sessions: Sequence[Session]
    devices: Sequence[Device]
    due: datetime | None
    events: Sequence[Row[Any]]
    details: Mapping[str, Mapping[str, str | bool | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the policies let an account enroll, and when they will demand more than it proved."""

    methods: tuple[str, ...]
    due: datetime | None


class OwnSecurity:
    """Reads what an account's owner wants to see at a glance."""

    def __init__(self, parts: Parts, verifying: Verifying) -> None:
        self._parts = parts
        self._verifying = verifying

    def look(self, user: User, *, now: datetime) -> Security | Denied:
        """Return the account's locks, sessions and newest events."""
        return self._parts.database.reading(self._look, user, now=now)

    def look_ahead(self, user: User, *, now: datetime) -> Ahead:
        """Return what may be enrolled, and by when it must be."""
        return self._parts.database.reading(self._look_ahead, user, now=now)

    def _look_ahead(self, db: Connection, user: User, *, now: datetime) -> Ahead:
        account = self._parts.accounts.get(db, user.id)
        if account is None:
            return Ahead((), None)
        demands = demands_of(db, self._parts, account, now=now)
        return Ahead(enrollable(self._parts, account, demands), demands.reminder(user.acr))

    def _look(self, db: Connection, user: User, *, now: datetime) -> Security | Denied:
        account = self._parts.accounts.get(db, user.id)
        match self._verifying.factors_of(db, account):
            case Authenticators(all=those):
                found: Sequence[Authenticator] = those
                left = self._parts.recovery_codes.look(db, user.id)
            case NoSecondFactor():
                found, left = (), RecoveryCodesLeft(0, None, are_kept=True)
            case _:
                return Denied()
        events = audit.list_events(db, subject=user.id, before=audit.NEWEST, limit=_EVENTS)
        return Security(
            authenticators=found,
            recovery_codes=left,
            email=account.email if account else None,
            is_email_verified=account is not None and account.is_email_verified,
            sessions=sessions.find_sessions(db, user.id, now=now),
            devices=devices.find_devices(db, user.id, generation=user.generation, now=now),
            due=None if account is None else self._due(db, account, user, found, now=now),
            events=events,
            details=describe_all(self._parts.factors, db, user.id) if found else {},
        )

    def _due(
        self,
        db: Connection,
        account: Account,
        user: User,
        found: Sequence[Authenticator],
        *,
        now: datetime,
    ) -> datetime | None:
        """Return when a policy will demand more than this account has."""
        demands = demands_of(db, self._parts, account, now=now)
        factors = [self._parts.factors.get(one.method) for one in found]
        if any(factor and factor.is_phishing_resistant for factor in factors):
            return demands.reminder(Acr.PHR)
        return demands.reminder(Acr.AAL2 if found else Acr.AAL1)
