"""A first password at the edge: check the link (a hop), hash (its threads), set it (a hop)."""

from datetime import datetime

from twinlock.audit.events import Caller
from twinlock.flows.first_password import Welcomed
from twinlock.flows.invitations import AcceptanceBegun
from twinlock.flows.outcomes import Refused
from twinlock.flows.registration import Applicant, RegistrationBegun
from twinlock.web.breached import refuse_breached
from twinlock.web.runtime import Runtime


async def accept_invitation(
    runtime: Runtime, token: str, password: str, caller: Caller, *, now: datetime
) -> Welcomed | Refused:
    """Accept an invitation. Only a living link costs a hash."""
    flow = runtime.invitations
    begun = await runtime.workers.run(flow.begin, token, password, now=now)
    if not isinstance(begun, AcceptanceBegun):
        return begun
    if refused := await refuse_breached(runtime.breaches, password):
        return refused
    new_hash = await runtime.hash_pool.run(runtime.password_check.new_hash, password)
    return await runtime.workers.run(flow.finish, begun, new_hash, caller, now=now)


async def register(
    runtime: Runtime,
    token: str,
    applicant: Applicant,
    password: str,
    caller: Caller,
    *,
    now: datetime,
) -> Welcomed | Refused:
    """Make the account of a mailed link. Only a living link costs a hash."""
    flow = runtime.registration
    begun = await runtime.workers.run(flow.begin, token, applicant, password, now=now)
    if not isinstance(begun, RegistrationBegun):
        return begun
    if refused := await refuse_breached(runtime.breaches, password):
        return refused
    new_hash = await runtime.hash_pool.run(runtime.password_check.new_hash, password)
    return await runtime.workers.run(flow.finish, begun, new_hash, caller, now=now)
