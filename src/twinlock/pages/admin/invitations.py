"""``/admin/invitations``: invite people, and see who has not come yet; never the mailed link."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.accounts.directory import Account
from twinlock.flows.account_making import NewAccount
from twinlock.flows.outcomes import Refused
from twinlock.pages.admin.admitted import ActingAdmin, Admin
from twinlock.pages.forms import Fields, Form
from twinlock.pages.paths import with_query
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import SeeOtherError, Visitor
from twinlock.web.acting import acting, find_target, run_as_admin, subject_in
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/admin/invitations")

_ON_A_PAGE: Final = 50
_CURSOR: Final = re.compile("[0-9a-f]{32}")
_FIRST: Final = "0" * 32
_DAYS: Final = (1, 3, 7, 14, 30)
_MAX_NAME: Final = 255
_MAX_LINE: Final = 2048
_MAX_ROLES: Final = 32
_TYPED: Final = ("email", "username", "full_name", "roles", "days")


@pages.get("")
async def show_invitations(
    admin: Admin, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """List the invitations that nobody has accepted yet."""
    cursor = request.query_params.get("cursor", "")
    after = cursor if _CURSOR.fullmatch(cursor) else _FIRST
    flow = runtime.invitations
    found = []
    if flow.is_enabled:
        found = [
            *await runtime.workers.run(flow.list_waiting, after=after, limit=_ON_A_PAGE, now=now)
        ]
    start = f"{runtime.prefix}/admin/invitations"
    is_full = len(found) == _ON_A_PAGE
    return _page(
        request,
        admin,
        runtime,
        "admin/invitations.html",
        invitations=found,
        is_start=after == _FIRST,
        following=with_query(start, cursor=found[-1].account.subject) if is_full else None,
    )


@pages.get("/new")
async def show_form(admin: Admin, request: Request, runtime: Running) -> HTMLResponse:
    """Show the form that invites somebody, or invites again."""
    again = request.query_params.get("again", "")
    typed = dict.fromkeys(_TYPED, "") | {"days": str(_days(runtime)[-1])}
    if subject_in(again) is not None:
        typed |= _facts_of(await find_target(runtime, again))
    return _form_page(request, admin, runtime, typed)


@pages.post("/new")
async def invite(
    admin: ActingAdmin, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Mail an invitation; what is wrong is said beside what was typed."""
    typed = {name: form.text(name)[:_MAX_LINE] for name in _TYPED}
    flow = runtime.invitations
    if not flow.is_enabled:
        return _form_page(request, admin, runtime, typed, status=409)
    if form.text("full_name").strip() and not form.line("full_name", max_length=_MAX_NAME):
        error = "full_name_unprintable"
        return _form_page(request, admin, runtime, typed, status=400, error=error)
    sent = await run_as_admin(
        runtime,
        flow.acting_as(admin.user).invite,
        _new(form),
        acting(admin.user, caller),
        lifetime=_lifetime(runtime, form),
        now=now,
    )
    if isinstance(sent, Refused):
        return _form_page(request, admin, runtime, typed, status=400, error=sent.code)
    return see_other(f"{runtime.prefix}/admin/invitations", note="invitation_sent")


@pages.get("/{user_id}/revoke")
async def ask_to_revoke(
    user_id: str, admin: Admin, request: Request, runtime: Running
) -> HTMLResponse:
    """Say what follows."""
    account = await _invited(runtime, user_id)
    return _page(request, admin, runtime, "admin/invitation_revoke.html", account=account)


@pages.post("/{user_id}/revoke")
async def revoke(
    user_id: str, admin: ActingAdmin, runtime: Running, caller: From, now: Now
) -> Response:
    """Void an invitation; one that is gone already is what was wanted."""
    account = await _invited(runtime, user_id)
    flow = runtime.invitations.acting_as(admin.user)
    by = acting(admin.user, caller)
    refused = await run_as_admin(runtime, flow.revoke, account.subject, by, now=now)
    note = None if refused else "invitation_revoked"
    return see_other(f"{runtime.prefix}/admin/invitations", note=note)


async def _invited(runtime: Runtime, user_id: str) -> Account:
    """Return the account of a path, where there are invitations at all.

    Raises:
        ProblemError: 404.
        SeeOtherError: Nobody is invited here.
    """
    if subject_in(user_id) is None:
        raise ProblemError(404, "not_found", "There is no such invitation.")
    if not runtime.invitations.is_enabled:
        raise SeeOtherError(f"{runtime.prefix}/admin/invitations")
    return await find_target(runtime, user_id)


def _new(form: Fields) -> NewAccount:
    return NewAccount(
        username=form.line("username", max_length=_MAX_LINE),
        email=form.line("email", max_length=_MAX_LINE),
        full_name=form.line("full_name", max_length=_MAX_NAME) or None,
        roles=tuple(form.text("roles")[:_MAX_LINE].split()[:_MAX_ROLES]),
    )


def _facts_of(account: Account) -> dict[str, str]:
    return {
        "email": account.email or "",
        "username": account.username,
        "full_name": account.full_name or "",
        "roles": " ".join(account.roles),
    }


def _days(runtime: Runtime) -> list[int]:
    """Return for how many days an invitation may live, as the form offers them."""
    most = max(1, runtime.invitations.longest.days)
    return [*(days for days in _DAYS if days < most), most]


def _lifetime(runtime: Runtime, form: Fields) -> timedelta | None:
    days = form.text("days")
    offered = {str(one): one for one in _days(runtime)}
    return timedelta(days=offered[days]) if days in offered else None


def _form_page(
    request: Request,
    admin: Visitor,
    runtime: Runtime,
    typed: Mapping[str, str],
    *,
    status: int = 200,
    error: str | None = None,
) -> HTMLResponse:
    return _page(
        request,
        admin,
        runtime,
        "admin/invite.html",
        status=status,
        typed=typed,
        error=error,
        offered_days=_days(runtime),
    )


def _page(
    request: Request,
    admin: Visitor,
    runtime: Runtime,
    template: str,
    *,
    status: int = 200,
    **shown: object,
) -> HTMLResponse:
    return page(
        request,
        template,
        status=status,
        visitor=admin,
        here="accounts",
        is_enabled=runtime.invitations.is_enabled,
        **shown,
    )
