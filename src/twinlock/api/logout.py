"""``/api/logout``: sign out."""

from fastapi import Response

from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.web import cookies
from twinlock.web.deps import From, Now, Running, SessionCookie
from twinlock.web.guard import OwnUser
from twinlock.web.routes import router

api = router(prefix="/logout", tags=["login"], responses=SIGNED_IN_PROBLEMS)


@api.post("", status_code=204, response_model=None)
async def log_out(
    user: OwnUser, runtime: Running, caller: From, cookie: SessionCookie, now: Now
) -> Response:
    """End this session, its refresh token included."""
    await runtime.workers.run(runtime.sessions.sign_out, user, caller, now=now)
    response = Response(status_code=204)
    if cookie is not None:
        cookies.clear_session(response)
    return response
