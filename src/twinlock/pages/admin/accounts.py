"""``/admin/accounts``: finding accounts among a million."""

from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse

from twinlock.flows.account_listing import (
    ACTIVE,
    AWAITS,
    BEHIND,
    DISABLED,
    NO_FACTOR,
    STOPPED,
    InvalidCursorError,
    Wanted,
)
from twinlock.pages.admin.admitted import Admin
from twinlock.pages.paths import with_query
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.deps import Now, Running
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/admin/accounts")

_ON_A_PAGE: Final = 50
_STATES: Final = ("", ACTIVE, DISABLED, AWAITS, STOPPED, BEHIND)
_MAX_LENGTH: Final = 320
_MAX_CURSOR: Final = 2048


@pages.get("")
async def show_accounts(admin: Admin, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Show a page of the accounts that are looked for; an old cursor leads to its start."""
    wanted = _wanted(request, runtime)
    cursor = request.query_params.get("cursor", "")[:_MAX_CURSOR] or None
    moved_on = False
    try:
        found = await runtime.workers.run(
            runtime.console.find_accounts, wanted, cursor=cursor, limit=_ON_A_PAGE, now=now
        )
    except InvalidCursorError:
        cursor, moved_on = None, True
        found = await runtime.workers.run(
            runtime.console.find_accounts, wanted, cursor=None, limit=_ON_A_PAGE, now=now
        )
    return page(
        request,
        "admin/accounts.html",
        visitor=admin,
        here="accounts",
        wanted=wanted,
        methods=_methods(runtime),
        rows=found.found,
        looked_at=found.looked_at,
        start=_path(runtime, wanted, None),
        following=_path(runtime, wanted, found.next_cursor) if found.next_cursor else None,
        is_start=cursor is None,
        moved_on=moved_on,
    )


def _wanted(request: Request, runtime: Runtime) -> Wanted:
    """Return what the form asks for; what it never offered is left out."""

    def line(name: str) -> str:
        text = request.query_params.get(name, "").strip()
        return text if len(text) <= _MAX_LENGTH and text.isprintable() else ""

    factor, state = line("factor"), line("state")
    return Wanted(
        search=line("q"),
        factor=factor if factor in {NO_FACTOR, *_methods(runtime)} else "",
        state=state if state in _STATES else "",
        role=line("role"),
    )


def _methods(runtime: Runtime) -> list[str]:
    return [one.method for one in runtime.parts.factors if one.max_per_account]


def _path(runtime: Runtime, wanted: Wanted, cursor: str | None) -> str:
    return with_query(
        f"{runtime.prefix}/admin/accounts",
        q=wanted.search,
        factor=wanted.factor,
        state=wanted.state,
        role=wanted.role,
        cursor=cursor,
    )
