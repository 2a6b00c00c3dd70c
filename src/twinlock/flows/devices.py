"""Trusted devices: a browser that signed in fully stands for the second factor for a while.

The cookie's secret is new after each use. Whoever comes with an older one holds a copy, or the
owner does: the device is revoked, and so is every session that a device of the account opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hmac import compare_digest

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.clock import in_order
from twinlock.core.principal import User
from twinlock.core.proof import Acr, SubjectId
from twinlock.core.secrets import digest, is_id, new_id, new_secret
from twinlock.devices import store as devices
from twinlock.devices.store import Device
from twinlock.flows import mailing
from twinlock.flows.demands import demands_of
from twinlock.flows.outcomes import DeviceCookie, Refused, StepUpRequired
from twinlock.flows.parts import Parts
from twinlock.mail.letters import Kind, sentence_of
from twinlock.sessions import store as sessions

NOT_FOUND = Refused("not_found", "There is no such device.")


@dataclass(frozen=True, slots=True)
class Recognised:
    """A device of the account, under its next secret."""

    device: Device
    cookie: DeviceCookie


@dataclass(frozen=True, slots=True)
class Copied:
    """A cookie that was replaced before came again: the device is revoked.

    Attributes:
        ended: Sessions that a device opened; their marks change after the commit.
    """

    ended: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Presented:
    id: str
    digest: bytes = field(repr=False)


class TrustedDevices:
    """Trusts, recognises, lists and revokes devices."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def recognise(
        self,
        tx: Connection,
        account: Account,
        cookie: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Recognised | Copied | None:
        """Spend a device's cookie after a right password; None where it is trusted no more.

        The caller holds the subject's row.
        """
        presented = _parse(cookie)
        if presented is None:
            return None
        device = devices.get_device(tx, self._parts.keyring, presented.id)
        if (
            device is None
            or device.subject != account.subject
            or device.generation != account.generation
            or device.expires_at <= now
        ):
            return None
        if not demands_of(tx, self._parts, account, now=now).trusts_devices:
            return None
        secret = new_secret()
        rotated = replace(
            device,
            cookie_digest=digest(secret),
            ip=caller.ip,
            user_agent=caller.user_agent,
            last_used_at=now,
        )
        is_current = compare_digest(presented.digest, device.cookie_digest)
        if is_current and devices.rotate_device(
            tx, self._parts.keyring, rotated, presented=presented.digest
        ):
            return Recognised(
                rotated, DeviceCookie(f"{device.id}.{secret}", device.expires_at - now)
            )
        devices.delete_device(tx, device.id, subject=account.subject)
        ended = sessions.end_sessions_of_acr(tx, account.subject, acr=Acr.AAL1, kept="", now=now)
        self._record(tx, EventType.DEVICE_REUSED, account.subject, device.id, caller, now=now)
        return Copied(ended)

    def trust(
        self,
        tx: Connection,
        account: Account,
        cookie: str | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> DeviceCookie | None:
        """Trust the browser of a full sign-in; None where a policy does not."""
        if not demands_of(tx, self._parts, account, now=now).trusts_devices:
            return None
        presented = _parse(cookie) if cookie is not None else None
        is_new = True
        if presented is not None:  # the same browser again: one device, not two
            old = devices.get_device(tx, self._parts.keyring, presented.id)
            if old is not None and compare_digest(presented.digest, old.cookie_digest):
                is_new = not devices.delete_device(tx, old.id, subject=account.subject)
        lifetime = self._parts.lifetimes.trusted_device
        secret = new_secret()
        new = Device(
            id=new_id(),
            subject=account.subject,
            generation=account.generation,
            cookie_digest=digest(secret),
            ip=caller.ip,
            user_agent=caller.user_agent,
            last_used_at=now,
            expires_at=now + lifetime,
            created_at=in_order(now),
        )
        devices.insert_device(tx, self._parts.keyring, new)
        devices.delete_oldest(tx, new, kept=self._parts.lifetimes.max_devices)
        self._record(tx, EventType.DEVICE_TRUSTED, account.subject, new.id, caller, now=now)
        if is_new:
            until = {"until": sentence_of(new.expires_at)}
            mailing.notify(tx, self._parts, account, Kind.DEVICE_TRUSTED, now=now, values=until)
        return DeviceCookie(f"{new.id}.{secret}", lifetime)

    def find_devices(self, user: User, *, now: datetime) -> list[Device]:
        """Return the account's trusted devices, the newest first."""
        return self._parts.database.reading(
            devices.find_devices, user.id, generation=user.generation, now=now
        )

    def revoke(
        self, user: User, device_id: str, caller: Caller, *, now: datetime
    ) -> StepUpRequired | Refused | None:
        """Trust one device no more, and end the other sessions that a device opened."""
        if not is_id(device_id):
            return NOT_FOUND
        if stale := self._stale(user, now=now):
            return stale
        ended = self._parts.database.transaction(self._revoke, user, device_id, caller, now=now)
        if ended is None:
            return NOT_FOUND
        self._parts.marks.bump(ended)
        return None

    def revoke_all(self, user: User, caller: Caller, *, now: datetime) -> StepUpRequired | int:
        """Trust no device any more; return how many there were."""
        if stale := self._stale(user, now=now):
            return stale
        count, ended = self._parts.database.transaction(self._revoke_all, user, caller, now=now)
        self._parts.marks.bump(ended)
        return count

    def forget(self, cookie: str, caller: Caller, *, now: datetime) -> None:
        """Stop trusting the browser that shows this cookie; a cookie of no device changes nothing.

        It takes no session: whoever holds the cookie may give it up.
        """
        presented = _parse(cookie)
        if presented is not None:
            ended = self._parts.database.transaction(self._forget, presented, caller, now=now)
            self._parts.marks.bump(ended)

    def _forget(
        self, tx: Connection, presented: "_Presented", caller: Caller, *, now: datetime
    ) -> Sequence[str]:
        device = devices.get_device(tx, self._parts.keyring, presented.id)
        if device is None or not compare_digest(presented.digest, device.cookie_digest):
            return []
        if not devices.delete_device(tx, device.id, subject=device.subject):
            return []
        self._record(tx, EventType.DEVICE_REVOKED, device.subject, device.id, caller, now=now)
        return sessions.end_sessions_of_acr(tx, device.subject, acr=Acr.AAL1, kept="", now=now)

    def _stale(self, user: User, *, now: datetime) -> StepUpRequired | None:
        fresh: timedelta = self._parts.lifetimes.fresh
        return None if user.is_fresh(fresh, now=now) else StepUpRequired(Acr.AAL1, fresh)

    def _revoke(
        self, tx: Connection, user: User, device_id: str, caller: Caller, *, now: datetime
    ) -> list[str] | None:
        if not devices.delete_device(tx, device_id, subject=user.id):
            return None
        self._record(tx, EventType.DEVICE_REVOKED, user.id, device_id, caller, now=now)
        return self._end_theirs(tx, user, now=now)

    def _revoke_all(
        self, tx: Connection, user: User, caller: Caller, *, now: datetime
    ) -> tuple[int, list[str]]:
        count = devices.delete_of_subject(tx, user.id)
        if not count:
            return 0, []
        self._record(tx, EventType.DEVICE_REVOKED, user.id, None, caller, now=now)
        return count, self._end_theirs(tx, user, now=now)

    def _end_theirs(self, tx: Connection, user: User, *, now: datetime) -> list[str]:
        """End what devices opened: with a second factor, nothing else opens a session of aal1."""
        return sessions.end_sessions_of_acr(
            tx, user.id, acr=Acr.AAL1, kept=user.session_id, now=now
        )

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        subject: SubjectId,
        device_id: str | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        details = {} if device_id is None else {"device": device_id}
        audit.record(tx, Event(type_, now, caller, subject=subject, details=details))


def _parse(cookie: str) -> _Presented | None:
    device_id, _, secret = cookie.partition(".")
    return _Presented(device_id, digest(secret)) if is_id(device_id) and secret else None
