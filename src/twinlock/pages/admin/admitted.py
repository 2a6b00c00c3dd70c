"""Who may use the console: the API's own rule, and what everybody else is shown instead."""

from typing import Annotated

from fastapi import Depends, Request

from twinlock.flows.outcomes import Denied
from twinlock.pages.forms import Form
from twinlock.pages.paths import own_path, with_query
from twinlock.pages.routes import NoSecondFactorError, NotForYouError
from twinlock.pages.visitor import Acting, Looking, SeeOtherError, Visitor
from twinlock.web.admin_guard import ADMIN_GUARD, NotAdmittedError, note_denied
from twinlock.web.runtime import runtime_of


async def _looking(visitor: Looking, request: Request) -> Visitor:
    query = f"?{request.url.query}" if request.url.query else ""
    await admit(request, visitor, back=request.url.path + query)
    return visitor


async def _acting(visitor: Acting, request: Request, form: Form) -> Visitor:
    await admit(request, visitor, back=request.url.path)
    return visitor


async def admit(request: Request, visitor: Visitor, *, back: str) -> None:
    """Let an admin pass whose second factor was shown within the last minutes.

    Args:
        request: What was asked for.
        visitor: Who asks.
        back: The page that is wanted, to come back to from the proof.

    Raises:
        NotForYouError: No admin.
        NoSecondFactorError: An admin without a second factor, who can show none.
        SeeOtherError: It is to be shown again.
    """
    runtime = runtime_of(request)
    try:
        ADMIN_GUARD.admit(visitor.user, runtime)
    except NotAdmittedError as error:
        await note_denied(request, error)
        if error.status_code != 401:
            raise NotForYouError(visitor.name) from error
        found = await runtime.workers.run(runtime.factors.list_factors, visitor.user)
        if isinstance(found, Denied) or not found.authenticators:
            raise NoSecondFactorError from error
        proof = with_query(f"{runtime.prefix}/reauthenticate", next=own_path(back))
        raise SeeOtherError(proof) from error


Admin = Annotated[Visitor, Depends(_looking)]
"""The admin who looks at a page of the console."""

ActingAdmin = Annotated[Visitor, Depends(_acting)]
"""The admin who sends a form of the console."""
