"""``/admin/mail``: the mails on their way out; never what they say, nor a link of theirs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse

from twinlock.flows.attention import LATE_MAIL
from twinlock.flows.console import NEWEST_MAIL
from twinlock.pages.admin.admitted import Admin
from twinlock.pages.paths import with_query
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.deps import Now, Running

pages = page_router(prefix="/admin/mail")

_ON_A_PAGE: Final = 50
_CURSOR: Final = re.compile(r"(\d{1,18})\.([0-9a-f]{32})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 250_000_000_000_000_000


@pages.get("")
async def show_mail(admin: Admin, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Show the outbox, or what of it waits."""
    only_waiting = request.query_params.get("state") == "waiting"
    before = _place(request.query_params.get("cursor", ""))
    found = await runtime.workers.run(
        runtime.console.list_mails,
        only_waiting=only_waiting,
        before=before or NEWEST_MAIL,
        limit=_ON_A_PAGE,
    )
    start = f"{runtime.prefix}/admin/mail"
    following = None
    if found.is_full and not only_waiting:
        last = found.mails[-1]
        microseconds = (last.created_at - _EPOCH) // timedelta(microseconds=1)
        following = with_query(start, cursor=f"{microseconds}.{last.id}")
    return page(
        request,
        "admin/mail.html",
        visitor=admin,
        here="mail",
        sends_mail=runtime.parts.mail is not None,
        mails=found.mails,
        usernames=found.usernames,
        only_waiting=only_waiting,
        following=following,
        is_start=before is None,
        late=now - LATE_MAIL,
    )


def _place(cursor: str) -> tuple[datetime, str] | None:
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[1]) > _LAST:
        return None
    return _EPOCH + timedelta(microseconds=int(found[1])), found[2]
