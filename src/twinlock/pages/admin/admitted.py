"""Who may use the console: the API's own rule, and what everybody else is shown instead."""

from typing import Annotated

from fastapi import Depends, Request

from twinlock.flows.outcomes import Denied
from twinlock.pages.forms import Form
from twinlock.pages.paths import own_path, with_query
from twinlock.pages.routes import NoSecondFactorError, NotForYouError
from twinlock.pages.visitor import Acting, Looking, SeeOtherError, Visitor
from twinlock.web.guard import ADMIN_GUARD
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime, runtime_of


async def _looking(visitor: Looking, request: Request) -> Visitor:
    query = f"?{request.url.query}" if request.url.query else ""
    await admit(runtime_of(request), visitor, back=request.url.path + query)
    return visitor


async def _acting(visitor: Acting, request: Request, form: Form) -> Visitor:
    await admit(runtime_of(request), visitor, back=request.url.path)
    return visitor


async def admit(runtime: Runtime, visitor: Visitor, *, back: str) -> None:
    """Let an admin pass whose second factor was shown within the last minutes.

    Args:
        runtime: The installation.
        visitor: Who asks.
        back: The page that is wanted, to come back to from the proof.

    Raises:
        NotForYouError: No admin.
        NoSecondFactorError: An admin without a second factor, who can show none.
        SeeOtherError: It is to be shown again.
    """
    try:
        ADMIN_GUARD.admit(visitor.user, runtime)
    except ProblemError as error:
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
