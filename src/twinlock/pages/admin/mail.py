"""``/admin/mail``: the mails on their way out; never what they say, nor a link of theirs."""

from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.attention import LATE_MAIL
from twinlock.flows.delivering import EXPIRED, SEAL_BROKEN
from twinlock.flows.mail_administration import State, is_cursor
from twinlock.pages.admin.admitted import ActingAdmin, Admin
from twinlock.pages.admin.letters import name_of
from twinlock.pages.forms import Form
from twinlock.pages.paths import with_query
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.acting import acting, run_as_admin, subject_in
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import ProblemError

pages = page_router(prefix="/admin/mail")

_ON_A_PAGE: Final = 50


@pages.get("")
async def show_mail(admin: Admin, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Show the outbox, or what of it waits or was given up."""
    state = _state(request.query_params.get("state", ""))
    cursor = request.query_params.get("cursor", "")
    found = await runtime.workers.run(
        runtime.mail_administration.list_mails,
        state,
        cursor=cursor if is_cursor(cursor) else None,
        limit=_ON_A_PAGE,
    )
    start = f"{runtime.prefix}/admin/mail"
    following = None
    if found.next_cursor:
        following = with_query(start, state=state, cursor=found.next_cursor)
    return page(
        request,
        "admin/mail.html",
        visitor=admin,
        here="mail",
        sends_mail=runtime.parts.mail is not None,
        mails=found.mails,
        name_of=name_of,
        usernames=found.usernames,
        state=state,
        start=with_query(start, state=state),
        following=following,
        is_start=not is_cursor(cursor),
        late=now - LATE_MAIL,
        now=now,
        expired=EXPIRED,
        seal_broken=SEAL_BROKEN,
    )


@pages.post("/{mail_id}/again")
async def try_again(
    mail_id: str, admin: ActingAdmin, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Have a mail tried again; if it has left meanwhile, nothing is left to do."""
    if subject_in(mail_id) is None:
        raise ProblemError(404, "not_found", "There is no such mail.")
    refused = await run_as_admin(
        runtime,
        runtime.mail_administration.try_again,
        mail_id,
        acting(admin.user, caller),
        admin=admin.user,
        now=now,
    )
    path = with_query(f"{runtime.prefix}/admin/mail", state=_state(form.text("state")))
    return see_other(path, note="mail_not_again" if refused else "mail_again")


def _state(text: str) -> State | None:
    return State(text) if text in set(State) else None
