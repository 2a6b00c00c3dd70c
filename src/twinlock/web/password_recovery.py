"""A forgotten password at the edge: check the link (a hop), hash (its threads), set (a hop)."""

from datetime import datetime

from twinlock.audit.events import Caller
from twinlock.flows.outcomes import Refused
from twinlock.flows.recovery import PasswordSet, ResetBegun
from twinlock.web.breached import refuse_breached
from twinlock.web.runtime import Runtime


async def recover_password(
    runtime: Runtime, token: str, password: str, caller: Caller, *, now: datetime
) -> PasswordSet | Refused:
    """Set the password of a mailed link. Only a living link costs a hash."""
    begun = await runtime.workers.run(runtime.recovery.begin_reset, token, password, now=now)
    if not isinstance(begun, ResetBegun):
        return begun
    if refused := await refuse_breached(runtime.breaches, password):
        return refused
    new_hash = await runtime.hash_pool.run(runtime.password_check.new_hash, password)
    return await runtime.workers.run(
        runtime.recovery.finish_reset, begun, new_hash, caller, now=now
    )
