"""An admin's request, for API and pages alike: who acts, on whom, and whether still as an admin."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller
from twinlock.core.principal import User
from twinlock.core.proof import SubjectId
from twinlock.flows.acting import NoLongerAdminError
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

_ID_LENGTH: Final = 32

P = ParamSpec("P")
T = TypeVar("T")


def acting(user: User, caller: Caller, *, note: str = "") -> Caller:
    """Return where a request came from, with the admin who sent it, and why."""
    return Caller(
        caller.ip, caller.user_agent, caller.is_browser, actor=f"admin:{user.id}", note=note
    )


def subject_in(text: str) -> SubjectId | None:
    """Return the id that a path holds; None where it can be none."""
    is_id = len(text) == _ID_LENGTH and text.isascii() and text.isalnum()
    return SubjectId(text) if is_id else None


async def find_target(runtime: Runtime, user_id: str) -> Account:
    """Return the account of a path, as it is now.

    Raises:
        ProblemError: 404.
    """
    subject = subject_in(user_id)
    found = None
    if subject is not None:
        found = await runtime.workers.run(runtime.administration.get, subject)
    if found is None:
        raise no_such_account()
    return found


def no_such_account() -> ProblemError:
    """Return the answer for an id that is nobody's."""
    return ProblemError(404, "not_found", "There is no such account.")


async def run_as_admin(
    runtime: Runtime, flow: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a change, unless its admin was one no longer.

    Raises:
        ProblemError: 403.
    """
    try:
        return await runtime.workers.run(flow, *args, **kwargs)
    except NoLongerAdminError as error:
        raise ProblemError(403, "role_required", "Not allowed.") from error
