"""All SQL of trusted devices, and the seal of each row.

A device holds a cookie whose secret is new after every use; its row holds the digest of the
current one. The seal is a MAC over whose device it is, since when, until when and by which
secret: who can write to the database but does not hold the master keys plants none.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from twinlock.core.keyring import Keyring
from twinlock.core.proof import SubjectId
from twinlock.db.types import UtcDateTime
from twinlock.devices.tables import trusted_device

log = logging.getLogger("twinlock.devices")

_SEAL: Final = "trusted_device"
_OF_SUBJECT: Final = trusted_device.c.subject_id == bindparam("subject")

INSERT_DEVICE = insert(trusted_device)
GET_DEVICE = select(trusted_device).where(trusted_device.c.id == bindparam("device_id"))
FIND_DEVICES = (
    select(trusted_device)
    .where(
        _OF_SUBJECT,
        trusted_device.c.generation == bindparam("current"),
        trusted_device.c.expires_at > bindparam("moment", type_=UtcDateTime()),
    )
    .order_by(trusted_device.c.created_at.desc(), trusted_device.c.id)
)
ROTATE_DEVICE = (
    update(trusted_device)
    .where(
        trusted_device.c.id == bindparam("device_id"),
        trusted_device.c.cookie_digest == bindparam("presented"),
    )
    .values(
        cookie_digest=bindparam("new_digest"),
        seal=bindparam("new_seal"),
        ip=bindparam("new_ip"),
        user_agent=bindparam("new_user_agent"),
        last_used_at=bindparam("moment", type_=UtcDateTime()),
    )
)
DELETE_DEVICE = delete(trusted_device).where(
    trusted_device.c.id == bindparam("device_id"), _OF_SUBJECT
)
DELETE_OF_SUBJECT = delete(trusted_device).where(_OF_SUBJECT)
DELETE_EVERY_DEVICE = delete(trusted_device)
DELETE_OLDEST = delete(trusted_device).where(
    trusted_device.c.id.in_(
        select(trusted_device.c.id)
        .where(_OF_SUBJECT, trusted_device.c.id != bindparam("newest"))
        .order_by(trusted_device.c.created_at.desc(), trusted_device.c.id)
        .offset(bindparam("others"))
    )
)
LIST_ROWS = (
    select(trusted_device)
    .where(trusted_device.c.id > bindparam("after"))
    .order_by(trusted_device.c.id)
    .limit(bindparam("limit"))
)
RESEAL_DEVICE = (
    update(trusted_device)
    .where(
        trusted_device.c.id == bindparam("device_id"),
        trusted_device.c.seal == bindparam("old_seal"),
    )
    .values(seal=bindparam("new_seal"))
)
EXPIRE_DEVICES = delete(trusted_device).where(
    trusted_device.c.id.in_(
        select(trusted_device.c.id)
        .where(trusted_device.c.expires_at < bindparam("moment", type_=UtcDateTime()))
        .order_by(trusted_device.c.expires_at)
        .limit(bindparam("limit"))
    )
)


@dataclass(frozen=True, slots=True)
class Device:
    """A trusted device as its row says."""

    id: str
    subject: SubjectId
    generation: int
    cookie_digest: bytes = field(repr=False)
    ip: str | None
    user_agent: str | None
    last_used_at: datetime
    expires_at: datetime
    created_at: datetime

    @property
    def sealed_content(self) -> tuple[str | bytes, ...]:
        """What only the holder of a master key may write, for the row's seal."""
        return (
            self.id,
            self.subject,
            str(self.generation),
            self.cookie_digest,
            self.created_at.isoformat(),
            self.expires_at.isoformat(),
        )


def insert_device(tx: Connection, keyring: Keyring, new: Device) -> None:
    """Trust a device."""
    row = {
        "id": new.id,
        "subject_id": new.subject,
        "generation": new.generation,
        "seal": keyring.mac(_SEAL, *new.sealed_content),
        "cookie_digest": new.cookie_digest,
        "ip": new.ip,
        "user_agent": new.user_agent,
        "last_used_at": new.last_used_at,
        "expires_at": new.expires_at,
        "created_at": new.created_at,
    }
    tx.execute(INSERT_DEVICE, row)


def get_device(db: Connection, keyring: Keyring, device_id: str) -> Device | None:
    """Return a device; None where its seal is broken."""
    row = db.execute(GET_DEVICE, {"device_id": device_id}).one_or_none()
    if row is None:
        return None
    device = _device(row)
    if not keyring.is_mac(row.seal, _SEAL, *device.sealed_content):
        log.critical("device_seal_broken", extra={"device": row.id})
        return None
    return device


def find_devices(
    db: Connection, subject: SubjectId, *, generation: int, now: datetime
) -> list[Device]:
    """Return a subject's devices that are trusted now, the newest first."""
    params = {"subject": subject, "current": generation, "moment": now}
    return [_device(row) for row in db.execute(FIND_DEVICES, params)]


def rotate_device(tx: Connection, keyring: Keyring, rotated: Device, *, presented: bytes) -> bool:
    """Replace the secret *presented* by the next; False when it is not the current one."""
    params = {
        "device_id": rotated.id,
        "presented": presented,
        "new_digest": rotated.cookie_digest,
        "new_seal": keyring.mac(_SEAL, *rotated.sealed_content),
        "new_ip": rotated.ip,
        "new_user_agent": rotated.user_agent,
        "moment": rotated.last_used_at,
    }
    return tx.execute(ROTATE_DEVICE, params).rowcount == 1


def delete_device(tx: Connection, device_id: str, *, subject: SubjectId) -> bool:
    """Trust a device no more if it is the subject's; False otherwise."""
    params = {"device_id": device_id, "subject": subject}
    return tx.execute(DELETE_DEVICE, params).rowcount == 1


def delete_of_subject(tx: Connection, subject: SubjectId) -> int:
    """Trust no device of a subject any more; return how many there were."""
    return tx.execute(DELETE_OF_SUBJECT, {"subject": subject}).rowcount


def delete_every_device(tx: Connection) -> int:
    """Trust nobody's devices any more, after a backup was put back."""
    return tx.execute(DELETE_EVERY_DEVICE).rowcount


def delete_oldest(tx: Connection, newest: Device, *, kept: int) -> None:
    """Trust only the *kept* newest devices of a subject.

    Args:
        newest: The one just trusted, which stays even where others began at the same moment.
    """
    params = {"subject": newest.subject, "newest": newest.id, "others": kept - 1}
    tx.execute(DELETE_OLDEST, params)


def reseal_devices(tx: Connection, keyring: Keyring, *, after: str, limit: int) -> tuple[int, str]:
    """Seal a batch under the newest key; return how many, and the last id (empty: none left)."""
    rows: Sequence[Row[Any]] = tx.execute(LIST_ROWS, {"after": after, "limit": limit}).all()
    resealed = 0
    for row in rows:
        content = _device(row).sealed_content
        if keyring.is_stale_mac(row.seal) and keyring.is_mac(row.seal, _SEAL, *content):
            params = {
                "device_id": row.id,
                "old_seal": row.seal,
                "new_seal": keyring.mac(_SEAL, *content),
            }
            resealed += tx.execute(RESEAL_DEVICE, params).rowcount
    return resealed, rows[-1].id if rows else ""


def expire(tx: Connection, *, now: datetime, limit: int) -> int:
    """Delete at most *limit* rows whose time is over; return how many."""
    return tx.execute(EXPIRE_DEVICES, {"moment": now, "limit": limit}).rowcount


def _device(row: Row[Any]) -> Device:
    return Device(
        id=row.id,
        subject=SubjectId(row.subject_id),
        generation=row.generation,
        cookie_digest=row.cookie_digest,
        ip=row.ip,
        user_agent=row.user_agent,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )
