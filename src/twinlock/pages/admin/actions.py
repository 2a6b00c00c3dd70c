"""``/admin/accounts/{id}/{action}``: what an admin can do, each behind a page of its own."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.audit.events import Caller
from twinlock.flows.outcomes import Refused
from twinlock.flows.overview import Overview
from twinlock.pages.admin.account import open_account
from twinlock.pages.admin.admitted import ActingAdmin, Admin
from twinlock.pages.admin.offers import NOTES, Action, offered
from twinlock.pages.forms import Fields, Form
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import SeeOtherError, Visitor
from twinlock.web.acting import acting, run_as_admin
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/admin/accounts")

_MAX_ROLES: Final = 32
_MAX_LINE: Final = 2048
_MAX_NAME: Final = 255
_MAX_EMAIL: Final = 320
_MAX_WHY: Final = 200
_TYPED: Final = ("full_name", "email", "roles", "why")


@pages.get("/{user_id}/{action}")
async def ask(
    user_id: str, action: str, admin: Admin, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Say what follows, with the numbers of now."""
    found = await open_account(runtime, user_id, now=now)
    return _question(request, admin, found, _chosen(runtime, action, found, admin))


@pages.post("/{user_id}/{action}")
async def act(
    user_id: str,
    action: str,
    admin: ActingAdmin,
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    now: Now,
) -> Response:
    """Do it, if the account still is as it was shown."""
    found = await open_account(runtime, user_id, now=now)
    chosen = _chosen(runtime, action, found, admin)
    if form.text("seen") != str(found.account.generation):
        return _question(request, admin, found, chosen, status=409, error="changed_meanwhile")
    if chosen is Action.DELETE and form.text("username").strip() != found.account.username:
        return _question(request, admin, found, chosen, status=400, error="other_name")
    by = acting(admin.user, caller, note=form.line("why", max_length=_MAX_WHY))
    error = _unprintable(form, chosen)
    if error is None:
        done = await _do(runtime, chosen, found, admin, form, by, now=now)
        error = done.code if isinstance(done, Refused) else None
    if error is not None:
        typed = {name: form.text(name)[:_MAX_LINE] for name in _TYPED}
        return _question(request, admin, found, chosen, status=400, error=error, typed=typed)
    path = f"{runtime.prefix}/admin/accounts"
    if chosen is not Action.DELETE:
        path += f"/{found.account.subject}"
    return see_other(path, note=NOTES[chosen])


@pages.post("/{user_id}/sessions/{session_id}/end")
async def end_session(
    user_id: str, session_id: str, admin: ActingAdmin, runtime: Running, caller: From, now: Now
) -> Response:
    """Sign one session out; one that had ended already is what was wanted."""
    found = await open_account(runtime, user_id, now=now)
    work = runtime.administration.acting_as(admin.user)
    by = acting(admin.user, caller)
    await run_as_admin(runtime, work.end_sessions, found.account, session_id, by, now=now)
    path = f"{runtime.prefix}/admin/accounts/{found.account.subject}"
    return see_other(path, note="signed_out_there")


async def _do(
    runtime: Runtime,
    action: Action,
    found: Overview,
    admin: Visitor,
    form: Fields,
    caller: Caller,
    *,
    now: Now,
) -> object:
    account, user = found.account, admin.user
    work = runtime.administration.acting_as(user)
    match action:
        case Action.UNLOCK:
            return await run_as_admin(runtime, work.unlock, account, caller, now=now)
        case Action.END_SESSIONS:
            return await run_as_admin(runtime, work.end_sessions, account, None, caller, now=now)
        case Action.RESET | Action.APPROVE_RESET | Action.CANCEL_RESET | Action.CANCEL_EMAIL:
            staged = _staged(runtime, action)
            return await run_as_admin(runtime, staged, account, user, caller, now=now)
        case Action.NAME | Action.EMAIL | Action.ROLES:
            given = _given(action, form)
            return await run_as_admin(runtime, work.change, account, caller, **given, now=now)
        case Action.ENABLE:
            return await run_as_admin(runtime, work.enable, account, caller, now=now)
        case Action.DISABLE:
            return await run_as_admin(runtime, work.disable, account, caller, now=now)
        case Action.DELETE:
            return await run_as_admin(runtime, work.delete, account, caller, now=now)


def _staged(runtime: Runtime, action: Action) -> Callable[..., object]:
    """Return what is done to something that waits, or begins to."""
    resets = runtime.factor_resets
    match action:
        case Action.APPROVE_RESET:
            return resets.approve
        case Action.CANCEL_RESET:
            return resets.cancel
        case Action.CANCEL_EMAIL:
            return runtime.staged_emails.cancel
        case _:
            return resets.request


def _given(action: Action, form: Fields) -> dict[str, Any]:
    """Return what is to be changed."""
    match action:
        case Action.NAME:
            return {"full_name": form.line("full_name", max_length=_MAX_NAME)}
        case Action.EMAIL:
            return {"email": form.line("email", max_length=_MAX_EMAIL)}
        case _:
            return {"roles": form.text("roles")[:_MAX_LINE].split()[:_MAX_ROLES]}


def _unprintable(form: Fields, action: Action) -> str | None:
    """Return what is wrong with a line that cannot be kept as it was typed."""
    for field, longest in (("why", _MAX_WHY), ("full_name", _MAX_NAME)):
        if form.text(field).strip() and not form.line(field, max_length=longest):
            return f"{field}_unprintable"
    return "email_syntax" if action is Action.EMAIL and not form.text("email").strip() else None


def _chosen(runtime: Runtime, action: str, found: Overview, admin: Visitor) -> Action:
    """Return what is to be done.

    Raises:
        ProblemError: 404, there is no such thing.
        SeeOtherError: It is done already, or not for this admin; the account's page shows how
            things are.
    """
    if action not in set(Action):
        raise ProblemError(404, "not_found", "There is nothing here.")
    if Action(action) not in offered(found, admin.user):
        raise SeeOtherError(f"{runtime.prefix}/admin/accounts/{found.account.subject}")
    return Action(action)


def _question(
    request: Request,
    admin: Visitor,
    found: Overview,
    action: Action,
    *,
    status: int = 200,
    error: str | None = None,
    typed: Mapping[str, str] | None = None,
) -> HTMLResponse:
    return page(
        request,
        "admin/action.html",
        status=status,
        visitor=admin,
        here="accounts",
        action=action,
        found=found,
        account=found.account,
        typed=typed or _as_it_is(found),
        error=error,
    )


def _as_it_is(found: Overview) -> Mapping[str, str]:
    account = found.account
    roles = " ".join(account.roles)
    return {"full_name": account.full_name or "", "email": "", "roles": roles, "why": ""}
