"""``/sessions``: an end to where the account is signed in."""

from fastapi import Response

from twinlock.flows.outcomes import Refused, StepUpRequired
from twinlock.pages.paths import HOME
from twinlock.pages.replies import home, see_other
from twinlock.pages.routes import page_router
from twinlock.pages.visitor import Acting, prove_again
from twinlock.web.cookies import clear_session
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/sessions")


@pages.post("/others/end")
async def end_others(visitor: Acting, runtime: Running, caller: From, now: Now) -> Response:
    """End every session but this one."""
    done = await runtime.workers.run(
        runtime.sessions.end_other_sessions, visitor.user, caller, now=now
    )
    if isinstance(done, StepUpRequired):
        raise prove_again(runtime, HOME)
    return home(runtime, note="signed_out_elsewhere")


@pages.post("/{session_id}/end")
async def end_one(
    session_id: str, visitor: Acting, runtime: Running, caller: From, now: Now
) -> Response:
    """End one session; one that had ended already is what was wanted."""
    refused = await runtime.workers.run(
        runtime.sessions.end_session, visitor.user, session_id, caller, now=now
    )
    match refused:
        case StepUpRequired():
            raise prove_again(runtime, HOME)
        case Refused() | None:
            pass
    if session_id != visitor.user.session_id:
        return home(runtime, note="signed_out_there")
    response = see_other(f"{runtime.prefix}/logout")
    clear_session(response)
    return response
