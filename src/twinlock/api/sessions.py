"""``/api/sessions``: where the account is signed in, and an end to it."""

from datetime import datetime

from fastapi import Response
from pydantic import BaseModel

from twinlock.api.paging import Cursor, Limit, cut, unknown_cursor
from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.core.proof import Acr
from twinlock.flows.outcomes import StepUpRequired
from twinlock.sessions.policy import Session
from twinlock.web import cookies
from twinlock.web.deps import From, Now, Running, SessionCookie
from twinlock.web.guard import OwnUser
from twinlock.web.problems import refusal
from twinlock.web.routes import router

api = router(prefix="/sessions", tags=["sessions"], responses=SIGNED_IN_PROBLEMS)


class SessionOut(BaseModel):
    """One session."""

    id: str
    current: bool
    created_at: datetime
    last_seen_at: datetime
    ip: str | None
    user_agent: str | None
    amr: list[str]
    acr: Acr

    @classmethod
    def of(cls, session: Session, *, current: str) -> "SessionOut":
        """Translate."""
        return cls(
            id=session.id,
            current=session.id == current,
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            ip=session.ip,
            user_agent=session.user_agent,
            amr=list(session.amr),
            acr=session.acr,
        )


class SessionListOut(BaseModel):
    """The account's sessions, the newest first."""

    sessions: list[SessionOut]
    next_cursor: str | None


class EndedOut(BaseModel):
    """How many sessions ended."""

    ended: int


@api.get("", response_model=SessionListOut)
async def list_sessions(
    user: OwnUser, runtime: Running, now: Now, limit: Limit = 50, cursor: Cursor = None
) -> SessionListOut | Response:
    """List the account's sessions."""
    found = await runtime.workers.run(runtime.sessions.find_sessions, user, now=now)
    try:
        page, following = cut(found, limit=limit, cursor=cursor)
    except ValueError:
        return unknown_cursor()
    shown = [SessionOut.of(one, current=user.session_id) for one in page]
    return SessionListOut(sessions=shown, next_cursor=following)


@api.delete("", response_model=EndedOut)
async def end_other_sessions(
    user: OwnUser, runtime: Running, caller: From, now: Now
) -> EndedOut | Response:
    """End every session but this one."""
    ended = await runtime.workers.run(runtime.sessions.end_other_sessions, user, caller, now=now)
    return refusal(ended) if isinstance(ended, StepUpRequired) else EndedOut(ended=ended)


@api.delete("/{session_id}", status_code=204, response_model=None)
async def end_session(
    session_id: str,
    user: OwnUser,
    runtime: Running,
    caller: From,
    cookie: SessionCookie,
    now: Now,
) -> Response:
    """End one of the account's sessions."""
    refused = await runtime.workers.run(
        runtime.sessions.end_session, user, session_id, caller, now=now
    )
    if refused is not None:
        return refusal(refused)
    response = Response(status_code=204)
    if cookie is not None and session_id == user.session_id:
        cookies.clear_session(response)
    return response
