"""``/devices``: an end to the trust in a browser."""

from fastapi import Response

from twinlock.flows.outcomes import Refused, StepUpRequired
from twinlock.pages.paths import HOME
from twinlock.pages.replies import home
from twinlock.pages.routes import page_router
from twinlock.pages.visitor import Acting, prove_again
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/devices")


@pages.post("/all/forget")
async def forget_all(visitor: Acting, runtime: Running, caller: From, now: Now) -> Response:
    """Trust no browser any more."""
    done = await runtime.workers.run(runtime.devices.revoke_all, visitor.user, caller, now=now)
    if isinstance(done, StepUpRequired):
        raise prove_again(runtime, HOME)
    return home(runtime, note="devices_forgotten")


@pages.post("/{device_id}/forget")
async def forget(
    device_id: str, visitor: Acting, runtime: Running, caller: From, now: Now
) -> Response:
    """Trust one browser no more; one that was forgotten already is what was wanted."""
    refused = await runtime.workers.run(
        runtime.devices.revoke, visitor.user, device_id, caller, now=now
    )
    match refused:
        case StepUpRequired():
            raise prove_again(runtime, HOME)
        case Refused() | None:
            return home(runtime, note="device_forgotten")
