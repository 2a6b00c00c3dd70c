"""Changing a password at the edge: count (a hop), hash twice (their threads), change (a hop)."""

from datetime import datetime

from twinlock.accounts.password_check import NewHash, RightPassword
from twinlock.audit.events import Caller
from twinlock.core.principal import User
from twinlock.core.proof import Rejected
from twinlock.flows.account import ChangeCounted
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, StepUpRequired, Throttled
from twinlock.web.breached import refuse_breached
from twinlock.web.runtime import Runtime


async def change_password(
    runtime: Runtime,
    user: User,
    current_password: str,
    new_password: str,
    caller: Caller,
    transport: Transport,
    *,
    now: datetime,
) -> SignedIn | StepUpRequired | Refused | Throttled | Denied:
    """Change a password whose current one is right."""
    if refused := await refuse_breached(runtime.breaches, new_password):
        return refused  # before the current one costs a try
    with runtime.hash_pool.place() as place:
        counted = await runtime.workers.run(
            runtime.account.begin_password_change, user, new_password, caller, now=now
        )
        if not isinstance(counted, ChangeCounted):
            return counted
        outcome, new_hash = await place.run(
            _hash_both, runtime, counted, current_password, new_password, now
        )
    return await runtime.workers.run(
        runtime.account.finish_password_change,
        user,
        counted,
        outcome,
        new_hash,
        caller,
        transport=transport,
        now=now,
    )


def _hash_both(
    runtime: Runtime,
    counted: ChangeCounted,
    current_password: str,
    new_password: str,
    now: datetime,
) -> tuple[RightPassword | Rejected, NewHash | None]:
    account = counted.account
    check = runtime.password_check
    outcome = check.check(account, account.username, current_password, now=now)
    if isinstance(outcome, Rejected):
        return outcome, None
    return outcome, check.new_hash(new_password)
