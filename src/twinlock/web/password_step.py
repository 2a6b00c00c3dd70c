"""The password step at the edge: look up (a hop), hash (its own threads), record (a hop)."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import RightPassword, vouched
from twinlock.core.errors import TwinlockError
from twinlock.core.proof import Rejected
from twinlock.flows.admission import Request
from twinlock.flows.looked_up import LookedUp
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.web.hash_pool import Place
from twinlock.web.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was typed.

    Attributes:
        otp: The code's own field; None or empty when none was sent.
        may_append: Whether the code may follow the password, as at the token endpoint.
    """

    name: str
    password: str = field(repr=False)
    otp: str | None = field(default=None, repr=False)
    may_append: bool = False


async def submit_password(
    runtime: Runtime, submitted: Submitted, request: Request, *, now: datetime
) -> SignedIn | SecondFactorRequired | EnrollmentRequired | Denied | Throttled:
    """Check a password, and the code that came with it if one did, with exactly one hash."""
    turned_away = runtime.login.turn_away(request.caller, asks_next=True, now=now)
    if turned_away is not None:
        return turned_away
    with runtime.hash_pool.place() as place:
        # Taken before the try is counted, or overload would lock people out.
        entry = None if runtime.asking is None else await runtime.asking.find(submitted.name)
        seen = await runtime.workers.run(
            runtime.login.look_up, submitted.name, request.caller, entry=entry, now=now
        )
        if isinstance(seen, Throttled):
            return seen
        password, code = submitted.password, submitted.otp or None
        if code is None and submitted.may_append:
            password, code = seen.split(submitted.password)
        outcome = await compare(runtime, place, seen.account, seen.name, password, now=now)
    done: SignedIn | SecondFactorRequired | EnrollmentRequired | Denied
    if code is None:
        done = await runtime.workers.run(
            runtime.login.finish_password, seen, outcome, request, now=now
        )
    else:
        done = await runtime.workers.run(
            runtime.login.finish_with_code, seen, outcome, code, request, now=now
        )
    if isinstance(outcome, RightPassword) and outcome.is_outdated and not isinstance(done, Denied):
        await _upgrade_hash(runtime, seen, outcome, password)
    return done


async def _upgrade_hash(
    runtime: Runtime, seen: LookedUp, right: RightPassword, password: str
) -> None:
    """Store a hash of today's kind, once the client is told that the password is right anyway.

    Any earlier, the time of the second hash would tell it where the words must not.
    """
    if seen.account is None or (runtime.asking is not None and not runtime.asking.takes_hashes):
        return
    with suppress(TwinlockError):  # the next login tries again; this one has its answer
        new_hash = await runtime.hash_pool.run(runtime.password_check.new_hash, password)
        if runtime.asking is not None:
            await runtime.asking.upgrade_hash(
                seen.account.host_id, verified=right.stored, password_hash=new_hash.password_hash
            )
        else:
            await runtime.workers.run(runtime.login.upgrade_hash, seen.account, right, new_hash)


async def compare(
    runtime: Runtime,
    place: Place,
    account: Account | None,
    name: str,
    password: str,
    *,
    now: datetime,
) -> RightPassword | Rejected:
    """Compare a password with the account's hash; exactly one is computed, for nobody as well."""
    asking = runtime.asking
    if asking is not None and account is not None and account.entry is None:
        entry = await asking.get(account.host_id)
        stored = entry.password_hash if entry is not None and not entry.disabled else None
        account = replace(account, entry=entry, password_hash=stored)
    if asking is not None and asking.checks_passwords:
        is_right = await asking.is_password(account.entry if account else None, password)
        return vouched(account, is_right=is_right, now=now)
    return await place.run(runtime.password_check.check, account, name, password, now=now)
