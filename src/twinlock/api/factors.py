"""``/api/factors``: the account's authenticators and recovery codes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from fastapi import Response
from pydantic import BaseModel

from twinlock.api.bodies import Answer, Handle, Label, SignedInOut
from twinlock.api.responses import SIGNED_IN_PROBLEMS, with_cookies
from twinlock.factors.authenticators.store import Authenticator
from twinlock.flows.enrolling import EnrollmentBegun
from twinlock.flows.factors import FactorList, FactorsChanged
from twinlock.web.deps import From, Now, Running, SameTransport
from twinlock.web.guard import OwnUser
from twinlock.web.problems import refusal
from twinlock.web.routes import router
from twinlock.web.runtime import Runtime

api = router(prefix="/factors", tags=["factors"], responses=SIGNED_IN_PROBLEMS)


_LABELS: Final = {"passkey": "Passkey", "email_code": "E-mail"}
Details = Mapping[str, str | bool | None]


class FactorOut(BaseModel):
    """One authenticator; a passkey's `details` are what it said of itself."""

    id: str
    method: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    details: dict[str, str | bool | None] | None = None

    @classmethod
    def of(cls, one: Authenticator, details: Details | None = None) -> "FactorOut":
        """Translate."""
        return cls(
            details=dict(details) if details else None,
            id=one.id,
            method=one.method,
            label=one.label,
            created_at=one.created_at,
            last_used_at=one.last_used_at,
        )


class FactorListOut(BaseModel):
    """What the account has."""

    factors: list[FactorOut]
    recovery_codes_left: int


class EnrollmentOut(BaseModel):
    """An enrollment that waits for its confirming answer."""

    enrollment: str
    expires_in: int
    options: dict[str, Any]


class ConfirmIn(BaseModel):
    """The answer that confirms an enrollment, and a name for the authenticator."""

    enrollment: Handle
    answer: Answer
    label: Label | None = None


class RenameIn(BaseModel):
    """A new name."""

    label: Label


class FactorsChangedOut(SignedInOut):
    """A change took hold; the old session is dead and these belong to the new one."""

    factor: FactorOut | None = None
    recovery_codes: list[str] | None = None


@api.get("", response_model=FactorListOut)
async def list_factors(user: OwnUser, runtime: Running) -> FactorListOut | Response:
    """List the account's authenticators."""
    found = await runtime.workers.run(runtime.factors.list_factors, user)
    if not isinstance(found, FactorList):
        return refusal(found)
    factors = [FactorOut.of(one, found.details.get(one.id)) for one in found.authenticators]
    return FactorListOut(factors=factors, recovery_codes_left=found.recovery_codes_left)


@api.post("/recovery_codes", status_code=201, response_model=FactorsChangedOut)
async def make_recovery_codes(
    user: OwnUser, runtime: Running, caller: From, transport: SameTransport, now: Now
) -> Response:
    """Make ten new recovery codes; the old ones are dead."""
    done = await runtime.workers.run(
        runtime.factors.make_recovery_codes, user, caller, transport=transport, now=now
    )
    return _changed(runtime, done, status=201)


@api.post("/{method}", response_model=EnrollmentOut)
async def begin_enrollment(
    method: str, user: OwnUser, runtime: Running, caller: From, now: Now
) -> EnrollmentOut | Response:
    """Begin to enroll an authenticator; nothing changes until it is confirmed."""
    begun = await runtime.workers.run(runtime.own_enrollment.begin, user, method, caller, now=now)
    if not isinstance(begun, EnrollmentBegun):
        return refusal(begun)
    seconds = int(begun.expires_in.total_seconds())
    return EnrollmentOut(enrollment=begun.handle, expires_in=seconds, options=begun.options)


@api.post("/{method}/confirm", status_code=201, response_model=FactorsChangedOut)
async def confirm_enrollment(
    method: str,
    body: ConfirmIn,
    user: OwnUser,
    runtime: Running,
    caller: From,
    transport: SameTransport,
    now: Now,
) -> Response:
    """Confirm an enrollment; with the first authenticator come ten recovery codes."""
    done = await runtime.workers.run(
        runtime.own_enrollment.finish,
        user,
        method,
        body.enrollment,
        body.answer,
        body.label or _LABELS.get(method, "Authenticator app"),
        caller,
        transport=transport,
        now=now,
    )
    return _changed(runtime, done, status=201)


@api.patch("/{factor_id}", response_model=FactorOut)
async def rename_factor(
    factor_id: str, body: RenameIn, user: OwnUser, runtime: Running, caller: From, now: Now
) -> FactorOut | Response:
    """Give an authenticator another name."""
    renamed = await runtime.workers.run(
        runtime.factors.rename, user, factor_id, body.label, caller, now=now
    )
    return FactorOut.of(renamed) if isinstance(renamed, Authenticator) else refusal(renamed)


@api.delete("/{factor_id}", response_model=FactorsChangedOut)
async def remove_factor(
    factor_id: str,
    user: OwnUser,
    runtime: Running,
    caller: From,
    transport: SameTransport,
    now: Now,
) -> Response:
    """Remove an authenticator; with the last one the recovery codes die."""
    done = await runtime.workers.run(
        runtime.factors.remove, user, factor_id, caller, transport=transport, now=now
    )
    return _changed(runtime, done, status=200)


def _changed(runtime: Runtime, done: Any, *, status: int) -> Response:
    if not isinstance(done, FactorsChanged):
        return refusal(done)
    body = FactorsChangedOut(
        **SignedInOut.of(done.signed_in).model_dump(),
        factor=FactorOut.of(done.authenticator) if done.authenticator else None,
        recovery_codes=list(done.recovery_codes) or None,
    )
    return with_cookies(runtime, body, done.signed_in, status=status)
