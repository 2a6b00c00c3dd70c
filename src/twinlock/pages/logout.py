"""``/logout``: the way out."""

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.pages import cookies
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import Acting
from twinlock.web.cookies import clear_session
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/logout")


@pages.get("")
async def show_signed_out(request: Request) -> HTMLResponse:
    """Say that nobody is signed in here any more; nothing changes by looking."""
    return page(request, "logout/signed_out.html")


@pages.post("")
async def sign_out(visitor: Acting, runtime: Running, caller: From, now: Now) -> Response:
    """End this session, and a login that this browser has begun."""
    await runtime.workers.run(runtime.sessions.sign_out, visitor.user, caller, now=now)
    response = see_other(f"{runtime.prefix}/logout")
    clear_session(response)
    cookies.forget(response, cookies.LOGIN)
    return response
