"""The guard of all that administers, on pages and in the API; it writes down whom it denies."""

import logging
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from twinlock.core.errors import TwinlockError
from twinlock.core.principal import ADMIN, User
from twinlock.core.proof import Acr, Reason
from twinlock.flows.denied_access import record_denied_access
from twinlock.sessions.policy import Lifetimes
from twinlock.web.demand import Demand
from twinlock.web.deps import caller
from twinlock.web.guard import Guard
from twinlock.web.problems import ProblemError
from twinlock.web.recognition import Recognition
from twinlock.web.route_names import template_of
from twinlock.web.runtime import runtime_of

log = logging.getLogger("twinlock.web")

_REASONS: Final = {
    "role_required": Reason.ROLE_REQUIRED,
    "insufficient_user_authentication": Reason.PROOF_REQUIRED,
    "password_change_required": Reason.PASSWORD_CHANGE_REQUIRED,
}


class NotAdmittedError(ProblemError):
    """A refusal of somebody who is signed in, so that it can be written down."""

    def __init__(self, user: User, refused: ProblemError) -> None:
        super().__init__(refused.status_code, refused.type, refused.detail, headers=refused.headers)
        self.user = user


class AdminGuard(Guard):
    """Lets admins pass who have just shown a second factor."""

    def demands(self, lifetimes: Lifetimes) -> Demand:
        """Return what an admin must prove."""
        return Demand(acr=Acr.AAL2, max_age=lifetimes.fresh, roles=frozenset({ADMIN}))

    async def __call__(self, connection: HTTPConnection) -> User | None:
        """Return the admin; a denial of somebody who is known is written down.

        Raises:
            ProblemError: The request may not pass.
        """
        try:
            return await super().__call__(connection)
        except NotAdmittedError as denied:
            await note_denied(connection, denied)
            raise

    def admit(self, user: User, recognition: Recognition) -> User:
        """Return the admin.

        Raises:
            NotAdmittedError: 403 for everybody else, 401 where the second factor is to be shown
                again.
        """
        runtime = recognition.installation
        try:
            passed = super().admit(user, recognition)
            self.demands(runtime.parts.lifetimes if runtime else Lifetimes()).check(
                passed, recognition
            )
        except ProblemError as refused:
            raise NotAdmittedError(user, refused) from refused
        return passed


async def note_denied(connection: HTTPConnection, denied: NotAdmittedError) -> None:
    """Write a denial down; it stands all the same where that cannot be done."""
    runtime = runtime_of(connection)
    route = f"{connection.scope.get('method', '')} {template_of(connection.scope) or ''}".strip()
    try:
        await runtime.workers.run(
            record_denied_access,
            runtime.parts,
            denied.user,
            route,
            _REASONS.get(denied.type, Reason.ROLE_REQUIRED),
            caller(connection, runtime),
            now=runtime.clock(),
        )
    except TwinlockError as error:
        log.error("denied_access_not_recorded", extra={"error": type(error).__name__})


ADMIN_GUARD: Final = AdminGuard()
"""Who may administer, on pages and in the API alike."""

AdminUser = Annotated[User, Depends(ADMIN_GUARD, scope="request")]
"""The signed-in admin of our own routes, who has just shown a second factor."""
