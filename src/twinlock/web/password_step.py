"""The password step at the edge: look up (a hop), hash (its own threads), record (a hop)."""

from dataclasses import dataclass
from datetime import datetime

from twinlock.accounts.password_check import RightPassword
from twinlock.core.proof import Rejected
from twinlock.flows.login import LookedUp, Request
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.web.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was typed.

    Attributes:
        otp: The code's own field; None or empty when none was sent.
        may_append: Whether the code may follow the password, as at the token endpoint.
    """

    name: str
    password: str
    otp: str | None = None
    may_append: bool = False


async def submit_password(
    runtime: Runtime, submitted: Submitted, request: Request, *, now: datetime
) -> SignedIn | SecondFactorRequired | EnrollmentRequired | Denied | Throttled:
    """Check a password, and the code that came with it if one did, with exactly one hash."""
    seen = await runtime.workers.run(runtime.login.look_up, submitted.name, request.caller, now=now)
    if isinstance(seen, Throttled):
        return seen
    password, code = submitted.password, submitted.otp or None
    if code is None and submitted.may_append:
        password, code = seen.split(submitted.password)
    outcome = await _hashed(runtime, seen, password, now=now)
    if code is None:
        return await runtime.workers.run(
            runtime.login.finish_password, seen, outcome, request, now=now
        )
    return await runtime.workers.run(
        runtime.login.finish_with_code, seen, outcome, code, request, now=now
    )


async def _hashed(
    runtime: Runtime, seen: LookedUp, password: str, *, now: datetime
) -> RightPassword | Rejected:
    return await runtime.hash_pool.run(
        runtime.password_check.check, seen.account, seen.name, password, now=now
    )
