"""``/api/admin/invitations``: invite, list, revoke. Nobody but the invited ever sees the link."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from twinlock.api.admin_bodies import Roles, Typed
from twinlock.api.bodies import FullName
from twinlock.api.invitations import switched_off
from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.flows.account_making import NewAccount
from twinlock.flows.invitations import NOT_FOUND, Invitation
from twinlock.flows.outcomes import Refused
from twinlock.web.acting import acting, run_as_admin, subject_in
from twinlock.web.admin_guard import AdminUser
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import refusal
from twinlock.web.routes import router

api = router(prefix="/admin/invitations", tags=["admin"], responses=SIGNED_IN_PROBLEMS)

_CENTURY: Final = 100 * 366 * 86_400  # of seconds: no number is too large for a date


class InvitationIn(BaseModel):
    """Whom to invite. An account of that name is invited again if nobody ever got into it."""

    model_config = ConfigDict(extra="forbid")

    username: Typed
    email: Typed
    full_name: FullName | None = None
    roles: Roles = []
    expires_in: Annotated[int, Field(ge=3600)] | None = None
    """Seconds; at most as long as the installation lets invitations live."""


class InvitationOut(BaseModel):
    """An invitation that waits; its ``id`` is the account's."""

    id: str
    username: str
    email: str | None
    roles: list[str]
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, one: Invitation) -> "InvitationOut":
        """Translate."""
        account = one.account
        return cls(
            id=account.subject,
            username=account.username,
            email=account.email,
            roles=list(account.roles),
            created_at=one.created_at,
            expires_at=one.expires_at,
        )


class InvitationListOut(BaseModel):
    """A page of invitations."""

    invitations: list[InvitationOut]
    next_cursor: str | None


@api.post("", response_model=InvitationOut, status_code=201)
async def invite(
    body: InvitationIn, user: AdminUser, runtime: Running, caller: From, now: Now
) -> InvitationOut | Response:
    """Mail an invitation, which lives seven days at most; an older one of the account is void."""
    if not runtime.invitations.is_enabled:
        return switched_off()
    new = NewAccount(body.username, body.email, body.full_name, tuple(body.roles))
    flow = runtime.invitations.acting_as(user)
    lifetime = None
    if body.expires_in is not None:
        lifetime = timedelta(seconds=min(body.expires_in, _CENTURY))
    sent = await run_as_admin(
        runtime, flow.invite, new, acting(user, caller), lifetime=lifetime, now=now
    )
    return refusal(sent) if isinstance(sent, Refused) else InvitationOut.of(sent)


@api.get("", response_model=InvitationListOut)
async def list_invitations(
    user: AdminUser,
    runtime: Running,
    now: Now,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str, Query(pattern="^[0-9a-f]{32}$")] = "0" * 32,
) -> InvitationListOut | Response:
    """List invitations that nobody has accepted yet."""
    if not runtime.invitations.is_enabled:
        return switched_off()
    found = await runtime.workers.run(
        runtime.invitations.list_waiting, after=cursor, limit=limit, now=now
    )
    return InvitationListOut(
        invitations=[InvitationOut.of(one) for one in found],
        next_cursor=found[-1].account.subject if len(found) == limit else None,
    )


@api.delete("/{invitation_id}", status_code=204, response_model=None)
async def revoke_invitation(
    invitation_id: str, user: AdminUser, runtime: Running, caller: From, now: Now
) -> Response:
    """Void an invitation; the account stays, without a password."""
    if not runtime.invitations.is_enabled:
        return switched_off()
    subject = subject_in(invitation_id)
    if subject is None:
        return refusal(NOT_FOUND)
    flow = runtime.invitations.acting_as(user)
    refused = await run_as_admin(runtime, flow.revoke, subject, acting(user, caller), now=now)
    return refusal(refused) if refused else Response(status_code=204)
