"""``/api/admin/mail``: the outbox, without what mails say; and having one tried again."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel
from sqlalchemy import Row

from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.flows.mail_administration import State, is_cursor
from twinlock.web.acting import acting, run_as_admin, subject_in
from twinlock.web.admin_guard import AdminUser
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import problem, refusal
from twinlock.web.routes import router

api = router(prefix="/admin/mail", tags=["admin"], responses=SIGNED_IN_PROBLEMS)


class MailOut(BaseModel):
    """A mail on its way out: never what it says, nor to which address."""

    id: str
    kind: str
    user_id: str | None
    state: str
    attempts: int
    error: str | None
    due_at: datetime
    expires_at: datetime
    delivered_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> "MailOut":
        """Translate."""
        return cls(
            id=row.id,
            kind=row.kind,
            user_id=row.subject_id,
            state="waiting" if row.waits else "sent" if row.delivered_at else "given_up",
            attempts=row.attempts,
            error=row.error,
            due_at=row.due_at,
            expires_at=row.expires_at,
            delivered_at=row.delivered_at,
            created_at=row.created_at,
        )


class MailListOut(BaseModel):
    """A page of mails, the newest first; those that wait are in the order of their next try."""

    mails: list[MailOut]
    next_cursor: str | None


@api.get("", response_model=MailListOut)
async def list_mails(
    user: AdminUser,
    runtime: Running,
    state: Annotated[State | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
) -> MailListOut | Response:
    """List the mails of the last seven days."""
    if cursor is not None and not is_cursor(cursor):
        return problem(422, "invalid_request", "The cursor is not one of this list.")
    found = await runtime.workers.run(
        runtime.mail_administration.list_mails, state, cursor=cursor, limit=limit
    )
    return MailListOut(
        mails=[MailOut.of(row) for row in found.mails], next_cursor=found.next_cursor
    )


@api.post("/{mail_id}/retry", status_code=204, response_model=None)
async def retry_mail(
    mail_id: str, user: AdminUser, runtime: Running, caller: From, now: Now
) -> Response:
    """Have a mail tried again that was given up, or waits."""
    if subject_in(mail_id) is None:
        return problem(404, "not_found", "There is no such mail.")
    work, by = runtime.mail_administration, acting(user, caller)
    refused = await run_as_admin(runtime, work.try_again, mail_id, by, admin=user, now=now)
    if refused is not None:
        return refusal(refused)
    return Response(status_code=204)
