"""What routes answer with: signed-in replies with their cookies, and documented problems."""

from typing import Any, Final

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from twinlock.api.bodies import ProblemOut
from twinlock.flows.outcomes import IssuedCookie, SignedIn
from twinlock.web import cookies
from twinlock.web.runtime import Runtime


def _documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": ProblemOut.model_json_schema()}}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses
    }


_DESCRIPTIONS: Final = {
    400: "The request cannot be understood, or what it asks for cannot be done",
    401: "Denied, or not signed in, or not signed in strongly or recently enough",
    403: "Not allowed",
    404: "No such thing",
    413: "The body is too large",
    422: "A field is missing or not valid",
    429: "Too many tries",
    503: "The service cannot decide now",
}

ANY_PROBLEM: Final = _documented(400, 413, 422, 503)
"""What every route may answer."""

SIGN_IN_PROBLEMS: Final = ANY_PROBLEM | _documented(401, 403, 429)
SIGNED_IN_PROBLEMS: Final = ANY_PROBLEM | _documented(401, 403, 404)


def with_cookies(
    runtime: Runtime, body: BaseModel, signed_in: SignedIn, *, status: int = 200
) -> Response:
    """Return *body*, and give a browser the cookies that belong to it."""
    response = JSONResponse(body.model_dump(mode="json", exclude_none=True), status)
    if isinstance(signed_in.credentials, IssuedCookie):
        cookies.set_session(response, signed_in.credentials)
    if signed_in.device is not None:
        cookies.set_device(response, signed_in.device)
    return known_from_now_on(runtime, response, signed_in)


def known_from_now_on(runtime: Runtime, response: Response, signed_in: SignedIn) -> Response:
    """Let a browser that has signed in fully be known at its next sign-in."""
    if signed_in.known_browser is not None:
        lifetime = runtime.parts.throttle.familiar_for.browser
        cookies.set_known(response, signed_in.known_browser, lifetime=lifetime)
    return response
