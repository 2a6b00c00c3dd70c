"""``/api/admin``: accounts and events, for admins with a fresh second factor.

No admin ever sees or chooses a password, a key or a code.
"""

from typing import Annotated, Final

from fastapi import Depends, Query, Response
from pydantic import AwareDatetime

from twinlock.accounts.directory import Account
from twinlock.api.admin_bodies import (
    AdminEventListOut,
    AdminEventOut,
    AdminSessionListOut,
    AdminSessionOut,
    ChangedUserOut,
    CreateUserIn,
    FactorResetOut,
    PatchUserIn,
    SearchText,
    UserDetailsOut,
    UserListOut,
    UserOut,
)
from twinlock.api.paging import Limit, cut, unknown_cursor
from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.api.sessions import EndedOut
from twinlock.audit.events import Caller, EventType
from twinlock.audit.store import NEWEST
from twinlock.flows import account_listing, auditing
from twinlock.flows.account_making import NewAccount
from twinlock.flows.administration import Administration
from twinlock.flows.event_ids import inner_id, shown_id
from twinlock.flows.outcomes import Refused
from twinlock.web.acting import acting, find_target, run_as_admin
from twinlock.web.admin_guard import AdminUser
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import problem, refusal
from twinlock.web.routes import router
from twinlock.web.runtime import Runtime

api = router(prefix="/admin", tags=["admin"], responses=SIGNED_IN_PROBLEMS)

Cursor = Annotated[str | None, Query(min_length=1, max_length=1024)]
EventCursor = Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")]
Search = Annotated[SearchText | None, Query()]

_NO_USER: Final = "There is no such account."


async def _acting(user: AdminUser, caller: From) -> Caller:
    return acting(user, caller)


async def _work(user: AdminUser, runtime: Running) -> Administration:
    return runtime.administration.acting_as(user)


async def _target(user_id: str, user: AdminUser, runtime: Running) -> Account:
    return await find_target(runtime, user_id)


Acting = Annotated[Caller, Depends(_acting)]
"""Where the request came from, with the admin who sent it."""

Work = Annotated[Administration, Depends(_work)]
"""What an admin can do, done as this one."""

Target = Annotated[Account, Depends(_target)]
"""The account of the path, as it was read just now."""


@api.get("/users", response_model=UserListOut)
async def list_users(
    user: AdminUser,
    runtime: Running,
    limit: Limit = 50,
    cursor: Cursor = None,
    search: Search = None,
) -> UserListOut | Response:
    """List accounts, or those whose username, e-mail address or name begins with *search*."""
    try:
        page = await runtime.workers.run(
            account_listing.list_accounts,
            runtime.parts,
            search=search,
            cursor=cursor,
            limit=limit,
        )
    except account_listing.InvalidCursorError:
        return unknown_cursor()
    return UserListOut(
        users=[UserOut.of(one) for one in page.accounts], next_cursor=page.next_cursor
    )


@api.post("/users", status_code=201, response_model=UserOut)
async def create_user(
    body: CreateUserIn, work: Work, runtime: Running, caller: Acting, now: Now
) -> UserOut | Response:
    """Make an account without a password: nobody but its owner ever chooses one."""
    new = NewAccount(
        username=body.username,
        email=body.email,
        full_name=body.full_name,
        roles=tuple(body.roles),
        is_email_verified=False,
    )
    return _told(await run_as_admin(runtime, work.create, new, caller, now=now))


@api.get("/users/{user_id}")
async def read_user(target: Target, runtime: Running, now: Now) -> UserDetailsOut:
    """Return an account with its factors, and the reset that waits for it."""
    run = runtime.workers.run
    factors = await run(runtime.factor_administration.find_authenticators, target)
    codes_left = await run(runtime.factor_administration.recovery_codes_left, target)
    staged = await run(runtime.factor_resets.find, target, now=now)
    email = await run(runtime.staged_emails.find, target, now=now)
    return UserDetailsOut.tell(target, factors, codes_left, staged, email)


@api.patch("/users/{user_id}", response_model=ChangedUserOut)
async def change_user(
    body: PatchUserIn, target: Target, work: Work, runtime: Running, caller: Acting, now: Now
) -> ChangedUserOut | Response:
    """Set full name or roles, or ask for another e-mail address, which waits 24 hours.

    New roles end every session of the account.
    """
    full_name = (body.full_name or "") if "full_name" in body.model_fields_set else None
    done = await run_as_admin(
        runtime,
        work.change,
        target,
        caller,
        email=body.email,
        full_name=full_name,
        roles=body.roles,
        now=now,
    )
    if isinstance(done, Refused):
        return refusal(done)
    changed = await runtime.workers.run(runtime.administration.get, done.subject) or done
    waits = await runtime.workers.run(runtime.staged_emails.find, changed, now=now)
    return ChangedUserOut.tell(changed, waits)


@api.delete("/users/{user_id}/email_change", status_code=204, response_model=None)
async def cancel_email_change(
    target: Target, user: AdminUser, runtime: Running, caller: Acting, now: Now
) -> Response:
    """Call off another e-mail address that waits."""
    refused = await run_as_admin(
        runtime, runtime.staged_emails.cancel, target, user, caller, now=now
    )
    return refusal(refused) if refused is not None else Response(status_code=204)


@api.delete("/users/{user_id}", status_code=204, response_model=None)
async def delete_user(
    target: Target, work: Work, runtime: Running, caller: Acting, now: Now
) -> Response:
    """Delete an account for good."""
    done = await run_as_admin(runtime, work.delete, target, caller, now=now)
    return refusal(done) if isinstance(done, Refused) else Response(status_code=204)


@api.post("/users/{user_id}/disable", response_model=UserOut)
async def disable_user(
    target: Target, work: Work, runtime: Running, caller: Acting, now: Now
) -> UserOut | Response:
    """Keep an account from everything, at once."""
    return await _told_again(
        runtime, await run_as_admin(runtime, work.disable, target, caller, now=now)
    )


@api.post("/users/{user_id}/enable", response_model=UserOut)
async def enable_user(
    target: Target, work: Work, runtime: Running, caller: Acting, now: Now
) -> UserOut | Response:
    """Let a disabled account sign in again."""
    return await _told_again(
        runtime, await run_as_admin(runtime, work.enable, target, caller, now=now)
    )


@api.post("/users/{user_id}/unlock", status_code=204, response_model=None)
async def unlock_user(
    target: Target, work: Work, runtime: Running, caller: Acting, now: Now
) -> Response:
    """Forget the account's counts of wrong passwords and codes."""
    await run_as_admin(runtime, work.unlock, target, caller, now=now)
    return Response(status_code=204)


@api.get("/users/{user_id}/sessions", response_model=AdminSessionListOut)
async def list_user_sessions(
    target: Target, runtime: Running, now: Now, limit: Limit = 50, cursor: Cursor = None
) -> AdminSessionListOut | Response:
    """List the account's sessions."""
    found = await runtime.workers.run(runtime.administration.find_sessions, target, now=now)
    try:
        page, following = cut(found, limit=limit, cursor=cursor)
    except ValueError:
        return unknown_cursor()
    shown = [AdminSessionOut.of(one) for one in page]
    return AdminSessionListOut(sessions=shown, next_cursor=following)


@api.delete("/users/{user_id}/sessions")
async def end_user_sessions(
    target: Target, work: Work, runtime: Running, caller: Acting, now: Now
) -> EndedOut:
    """Sign the account out everywhere."""
    ended = await run_as_admin(runtime, work.end_sessions, target, None, caller, now=now)
    return EndedOut(ended=ended)


@api.post("/users/{user_id}/factor_reset", status_code=202, response_model=FactorResetOut)
async def request_factor_reset(
    target: Target, user: AdminUser, runtime: Running, caller: Acting, now: Now
) -> FactorResetOut | Response:
    """Ask that all factors and codes be removed, 24 hours from now."""
    staged = await run_as_admin(
        runtime, runtime.factor_resets.request, target, user, caller, now=now
    )
    if isinstance(staged, Refused):
        return refusal(staged)
    return FactorResetOut.of(staged, target)


@api.post("/users/{user_id}/factor_reset/approve", response_model=FactorResetOut)
async def approve_factor_reset(
    target: Target, user: AdminUser, runtime: Running, caller: Acting, now: Now
) -> FactorResetOut | Response:
    """Agree, as the second admin, to the reset of another admin's factors."""
    staged = await run_as_admin(
        runtime, runtime.factor_resets.approve, target, user, caller, now=now
    )
    if isinstance(staged, Refused):
        return refusal(staged)
    return FactorResetOut.of(staged, target)


@api.delete("/users/{user_id}/factor_reset", status_code=204, response_model=None)
async def cancel_factor_reset(
    target: Target, user: AdminUser, runtime: Running, caller: Acting, now: Now
) -> Response:
    """Call a reset off."""
    refused = await run_as_admin(
        runtime, runtime.factor_resets.cancel, target, user, caller, now=now
    )
    return refusal(refused) if refused is not None else Response(status_code=204)


@api.get("/events", response_model=AdminEventListOut)
async def list_all_events(
    admin: AdminUser,
    runtime: Running,
    now: Now,
    limit: Limit = 50,
    cursor: EventCursor = None,
    user: Search = None,
    type: Annotated[EventType | None, Query()] = None,  # noqa: A002 - the parameter's name
    since: Annotated[AwareDatetime | None, Query()] = None,
) -> AdminEventListOut | Response:
    """List events of all accounts, or of one (its name or ``id``), the newest first."""
    key = runtime.parts.digest_key
    before = inner_id(key, cursor, now=now) if cursor else NEWEST
    if before is None:
        return unknown_cursor()
    page = await runtime.workers.run(
        auditing.list_events,
        runtime.parts,
        user=user,
        type_=type,
        since=since,
        before=before,
        limit=limit,
    )
    if page is None:
        return problem(404, "not_found", _NO_USER)
    return AdminEventListOut(
        events=[AdminEventOut.tell(row, page.usernames, key) for row in page.events],
        next_cursor=shown_id(key, page.next_cursor) if page.next_cursor else None,
    )


def _told(done: Account | Refused) -> UserOut | Response:
    return refusal(done) if isinstance(done, Refused) else UserOut.of(done)


async def _told_again(runtime: Runtime, done: Account | Refused) -> UserOut | Response:
    """Return the account as it is after the change."""
    if isinstance(done, Refused):
        return refusal(done)
    changed = await runtime.workers.run(runtime.administration.get, done.subject)
    return UserOut.of(changed or done)
