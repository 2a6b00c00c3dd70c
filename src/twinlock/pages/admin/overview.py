"""``/admin``: the installation at a glance, and what needs attention."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from twinlock.flows.attention import MOST
from twinlock.pages.admin.admitted import Admin
from twinlock.pages.admin.chart import draw
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.deps import Now, Running

pages = page_router(prefix="/admin")


@pages.get("")
async def show_overview(admin: Admin, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Show the figures, two weeks of sign-ins, and what needs attention."""
    figures, points = await runtime.workers.run(runtime.console.look, now=now)
    return page(
        request,
        "admin/overview.html",
        visitor=admin,
        here="overview",
        figures=figures,
        chart=draw(figures.days),
        points=points,
        most=MOST,
        now=now,
    )
