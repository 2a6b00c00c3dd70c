"""``/admin/accounts/{id}``: everything about one account."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from twinlock.flows.overview import Overview
from twinlock.pages.admin import happenings
from twinlock.pages.admin.admitted import Admin
from twinlock.pages.admin.offers import offered, withheld
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.acting import no_such_account, subject_in
from twinlock.web.deps import Now, Running
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/admin/accounts")


@pages.get("/{user_id}")
async def show_account(
    user_id: str, admin: Admin, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Show profile, factors, sessions, devices and the newest of its history."""
    found = await open_account(runtime, user_id, now=now)
    return page(
        request,
        "admin/account.html",
        visitor=admin,
        here="accounts",
        found=found,
        account=found.account,
        actions=offered(found, admin.user),
        withheld=withheld(found, admin.user),
        sentence=happenings.sentence,
        is_alarm=happenings.is_alarm,
    )


async def open_account(runtime: Runtime, user_id: str, *, now: Now) -> Overview:
    """Return everything about the account of a path.

    Raises:
        ProblemError: 404.
    """
    subject = subject_in(user_id)
    found = None
    if subject is not None:
        found = await runtime.workers.run(runtime.console.open, subject, now=now)
    if found is None:
        raise no_such_account()
    return found
