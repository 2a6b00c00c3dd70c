"""``/api/devices``: the browsers that stand for the second factor, and an end to it."""

from datetime import datetime

from fastapi import Response
from pydantic import BaseModel

from twinlock.api.paging import Cursor, Limit, cut, unknown_cursor
from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.devices.store import Device
from twinlock.flows.outcomes import StepUpRequired
from twinlock.web.deps import From, Now, Running, TrustedDevice
from twinlock.web.guard import OwnUser
from twinlock.web.problems import refusal
from twinlock.web.routes import router

api = router(prefix="/devices", tags=["devices"], responses=SIGNED_IN_PROBLEMS)


class DeviceOut(BaseModel):
    """One trusted device, named by what its browser says it is."""

    id: str
    current: bool
    user_agent: str | None
    ip: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, device: Device, *, cookie: str | None) -> "DeviceOut":
        """Translate."""
        return cls(
            id=device.id,
            current=cookie is not None and cookie.partition(".")[0] == device.id,
            user_agent=device.user_agent,
            ip=device.ip,
            created_at=device.created_at,
            last_used_at=device.last_used_at,
            expires_at=device.expires_at,
        )


class DeviceListOut(BaseModel):
    """The account's trusted devices, the newest first."""

    devices: list[DeviceOut]
    next_cursor: str | None


class RevokedOut(BaseModel):
    """How many devices are trusted no more."""

    revoked: int


@api.get("", response_model=DeviceListOut)
async def list_devices(
    user: OwnUser,
    runtime: Running,
    cookie: TrustedDevice,
    now: Now,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeviceListOut | Response:
    """List the account's trusted devices."""
    found = await runtime.workers.run(runtime.devices.find_devices, user, now=now)
    try:
        page, following = cut(found, limit=limit, cursor=cursor)
    except ValueError:
        return unknown_cursor()
    shown = [DeviceOut.of(one, cookie=cookie) for one in page]
    return DeviceListOut(devices=shown, next_cursor=following)


@api.delete("", response_model=RevokedOut)
async def revoke_devices(
    user: OwnUser, runtime: Running, caller: From, now: Now
) -> RevokedOut | Response:
    """Trust no device any more."""
    revoked = await runtime.workers.run(runtime.devices.revoke_all, user, caller, now=now)
    return refusal(revoked) if isinstance(revoked, StepUpRequired) else RevokedOut(revoked=revoked)


@api.delete("/{device_id}", status_code=204, response_model=None)
async def revoke_device(
    device_id: str, user: OwnUser, runtime: Running, caller: From, now: Now
) -> Response:
    """Trust one device no more."""
    refused = await runtime.workers.run(runtime.devices.revoke, user, device_id, caller, now=now)
    return Response(status_code=204) if refused is None else refusal(refused)
