"""``/admin/policies``: who needs what by when; whom a new one hits is shown before it is set."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.accounts.roles import role_problem
from twinlock.core.proof import Acr
from twinlock.flows.outcomes import Refused
from twinlock.flows.policy_administration import LAST_ADMIN
from twinlock.flows.policy_preview import Preview
from twinlock.pages.admin.admitted import ActingAdmin, Admin
from twinlock.pages.forms import Fields, Form
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import SeeOtherError, Visitor
from twinlock.policies.policy import Kind, Policy
from twinlock.web.acting import acting, run_as_admin
from twinlock.web.deps import From, Now, Running
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/admin/policies")

_GRACE: Final = timedelta(days=14)
_MAX_NAME: Final = 320
_NEEDS: Final = ("aal2", "phr")


@dataclass(frozen=True, slots=True)
class Typed:
    """The form as it was filled in, to be shown again."""

    kind: Kind
    role: str
    user: str
    acr: str
    methods: tuple[str, ...]
    trusts_devices: bool
    reminds: bool
    since: str


@pages.get("")
async def show_policies(admin: Admin, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """List every policy."""
    found = await runtime.workers.run(runtime.console.list_policies)
    return page(
        request, "admin/policies.html", visitor=admin, here="policies", policies=found, now=now
    )


@pages.get("/set")
async def show_form(admin: Admin, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Show the form, filled with the policy that is there for a target."""
    target = request.query_params.get("target", "")
    since = (now + _GRACE).date().isoformat()
    typed = Typed(Kind.EVERYONE, "", "", "aal2", _methods(runtime), False, True, since)
    for policy, username in await runtime.workers.run(runtime.console.list_policies):
        if policy.target == target:
            typed = _typed_of(policy, username, _methods(runtime))
    return _form_page(request, runtime, admin, typed)


@pages.post("/set")
async def set_policy(
    admin: ActingAdmin, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Show whom it hits; set it once that was seen and still is so."""
    typed = _typed(form, _methods(runtime))
    new = await _policy(runtime, typed, now=now)
    if isinstance(new, str):
        return _form_page(request, runtime, admin, typed, status=400, error=new)
    if not runtime.policy_administration.can_be_met(new):
        return _form_page(request, runtime, admin, typed, status=400, error="nothing_enrollable")
    seen = await runtime.workers.run(
        runtime.console.preview_policy, new, admin.user, since=typed.since, now=now
    )
    if form.text("do") != "save" or seen.locks_out:
        return _form_page(request, runtime, admin, typed, seen=seen)
    claimed = form.text("seen").encode("utf-8", "replace")
    if not compare_digest(claimed, seen.digest.encode()):
        return _form_page(
            request, runtime, admin, typed, status=409, seen=seen, error="changed_meanwhile"
        )
    work, by = runtime.policy_administration, acting(admin.user, caller)
    done = await run_as_admin(runtime, work.set_policy, new, by, admin=admin.user, now=now)
    if isinstance(done, Refused):
        error = "last_admin" if done == LAST_ADMIN else "changed_meanwhile"
        return _form_page(request, runtime, admin, typed, status=409, seen=seen, error=error)
    return see_other(f"{runtime.prefix}/admin/policies", note="policy_set")


@pages.get("/remove")
async def ask_to_remove(admin: Admin, request: Request, runtime: Running) -> HTMLResponse:
    """Say what follows from removing a policy."""
    policy, username = await _there(runtime, request.query_params.get("target", ""))
    return page(
        request,
        "admin/policy_remove.html",
        visitor=admin,
        here="policies",
        policy=policy,
        username=username,
    )


@pages.post("/remove")
async def remove(
    admin: ActingAdmin, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Remove a policy; one that is gone already is what was wanted."""
    policy, _ = await _there(runtime, form.text("target"))
    work, by = runtime.policy_administration, acting(admin.user, caller)
    done = await run_as_admin(
        runtime, work.remove_policy, policy.kind, policy.name, by, admin=admin.user, now=now
    )
    note = None if isinstance(done, Refused) else "policy_removed"
    return see_other(f"{runtime.prefix}/admin/policies", note=note)


async def _there(runtime: Runtime, target: str) -> tuple[Policy, str | None]:
    """Return the policy of a target.

    Raises:
        SeeOtherError: There is none; the list shows it.
    """
    for policy, username in await runtime.workers.run(runtime.console.list_policies):
        if policy.target == target:
            return policy, username
    raise SeeOtherError(f"{runtime.prefix}/admin/policies")


async def _policy(runtime: Runtime, typed: Typed, *, now: datetime) -> Policy | str:
    """Return the policy that a form describes, or what is wrong with it."""
    since = _moment(typed.since) if typed.since else now
    if since is None:
        return "no_date"
    name = ""
    match typed.kind:
        case Kind.EVERYONE:
            pass
        case Kind.ROLE:
            name = typed.role
            if role_problem(name):
                return "role_invalid"
        case Kind.ACCOUNT:
            account = await runtime.workers.run(runtime.administration.find, typed.user)
            if account is None:
                return "no_account"
            name = account.subject
    known = _methods(runtime)
    if not typed.methods:
        return "no_method"
    methods = () if len(typed.methods) == len(known) else typed.methods
    trusts, reminds = typed.trusts_devices, typed.reminds
    return Policy(typed.kind, name, Acr(typed.acr), since, methods, trusts, reminds)


def _typed(form: Fields, known: tuple[str, ...]) -> Typed:
    kind, acr = form.text("kind"), form.text("acr")
    return Typed(
        kind=Kind(kind) if kind in set(Kind) else Kind.EVERYONE,
        role=form.line("role", max_length=_MAX_NAME),
        user=form.line("user", max_length=_MAX_NAME),
        acr=acr if acr in _NEEDS else "aal2",
        methods=tuple(method for method in known if form.text(f"method_{method}")),
        trusts_devices=bool(form.text("trusts_devices")),
        reminds=bool(form.text("reminds")),
        since=form.line("since", max_length=10),
    )


def _typed_of(policy: Policy, username: str | None, known: tuple[str, ...]) -> Typed:
    return Typed(
        kind=policy.kind,
        role=policy.name if policy.kind is Kind.ROLE else "",
        user=(username or policy.name) if policy.kind is Kind.ACCOUNT else "",
        acr=policy.acr if policy.acr in _NEEDS else "aal2",
        methods=policy.methods or known,
        trusts_devices=policy.trusts_devices,
        reminds=policy.reminds,
        since=policy.since.date().isoformat(),
    )


def _methods(runtime: Runtime) -> tuple[str, ...]:
    return tuple(one.method for one in runtime.parts.factors if one.max_per_account)


def _moment(text: str) -> datetime | None:
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        return None
    return day.replace(tzinfo=UTC) if len(text) == 10 and 1970 <= day.year < 9999 else None


def _form_page(
    request: Request,
    runtime: Runtime,
    admin: Visitor,
    typed: Typed,
    *,
    status: int = 200,
    seen: Preview | None = None,
    error: str | None = None,
) -> HTMLResponse:
    return page(
        request,
        "admin/policy.html",
        status=status,
        visitor=admin,
        here="policies",
        typed=typed,
        known=_methods(runtime),
        sends_mail=runtime.parts.mail is not None and runtime.parts.accounts.are_ours,
        seen=seen,
        error=error,
    )
