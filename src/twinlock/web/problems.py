"""Errors as RFC 9457 problem details, and the one exception that carries a ready answer."""

import functools
from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Any, Final

from fastapi import HTTPException, Response
from fastapi.responses import JSONResponse

from twinlock.core.proof import Acr
from twinlock.flows.outcomes import Denied, Refused, StepUpRequired, Throttled

_MEDIA_TYPE: Final = "application/problem+json"
BEARER: Final = {"WWW-Authenticate": "Bearer"}


class ProblemError(HTTPException):
    """An answer that ends a request early, in any application that handles HTTP errors.

    Our own routes give it as problem details; a host's route gives it as FastAPI does.
    """

    def __init__(
        self, status: int, type_: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers=dict(headers or {}))
        self.type = type_

    def response(self) -> JSONResponse:
        """Return it as problem details."""
        return problem(self.status_code, self.type, self.detail, headers=self.headers)


def problem(
    status: int,
    type_: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> JSONResponse:
    """Return problem details with a stable *type_*."""
    body: dict[str, Any] = {"type": type_, "title": _title(type_), "status": status}
    body["detail"] = detail
    if errors is not None:
        body["errors"] = errors
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=_MEDIA_TYPE)


def login_denied() -> JSONResponse:
    """Return the one answer that every denied login gets."""
    return problem(401, "login_denied", "The login was denied.", headers=BEARER)


def invalid_token(description: str = "The access token is not valid.") -> ProblemError:
    """Return the refusal of a token or cookie that nobody can use (RFC 6750 section 3.1)."""
    challenge = f'Bearer error="invalid_token", error_description="{description}"'
    return ProblemError(401, "invalid_token", description, headers={"WWW-Authenticate": challenge})


def not_authenticated() -> ProblemError:
    """Return the challenge for a request without credentials (RFC 6750 section 3)."""
    return ProblemError(401, "not_authenticated", "Not authenticated", headers=BEARER)


def cross_site_request(own: str) -> ProblemError:
    """Return the refusal of what a browser sent from a page that may not.

    Args:
        own: The origin from which it may.
    """
    return ProblemError(403, "cross_site_request", f"The request comes from elsewhere than {own}.")


def insufficient_authentication(
    *, acr: Acr | None = None, max_age: timedelta | None = None
) -> ProblemError:
    """Return the step-up challenge (RFC 9470 section 3)."""
    parts = ['error="insufficient_user_authentication"']
    parts.append('error_description="A stronger or more recent authentication is required"')
    if acr is not None:
        parts.append(f'acr_values="{acr}"')
    if max_age is not None:
        parts.append(f'max_age="{int(max_age.total_seconds())}"')
    return ProblemError(
        401,
        "insufficient_user_authentication",
        "A stronger or more recent authentication is required.",
        headers={"WWW-Authenticate": "Bearer " + ", ".join(parts)},
    )


def too_many_tries(throttled: Throttled) -> Response:
    """Return 429 with the seconds to wait: another answer each time, with a body made once."""
    wait = retry_after(throttled.retry_after)
    return Response(_too_many_tries(), 429, headers=wait, media_type=_MEDIA_TYPE)


@functools.cache
def _too_many_tries() -> bytes:
    detail = "Too many tries. Wait before the next one."
    return bytes(problem(429, "too_many_tries", detail).body)


def unavailable(type_: str, wait: timedelta) -> JSONResponse:
    """Return 503: the service cannot decide now, so the answer is no."""
    return problem(503, type_, "The service cannot answer right now.", headers=retry_after(wait))


def retry_after(wait: timedelta) -> dict[str, str]:
    """Return the header that says when to come back (RFC 9110 section 10.2.3)."""
    return {"Retry-After": str(max(1, ceil(wait.total_seconds())))}


def refusal(outcome: Refused | StepUpRequired | Throttled | Denied) -> Response:
    """Return the answer to a signed-in account where a flow did not do what it asked for."""
    match outcome:
        case StepUpRequired(acr=acr, max_age=max_age):
            return insufficient_authentication(acr=acr, max_age=max_age).response()
        case Throttled():
            return too_many_tries(outcome)
        case Denied():
            return invalid_token("The session has ended.").response()
        case Refused(code="not_found", message=message):
            return problem(404, "not_found", message)
        case Refused(code=code, message=message):
            return problem(400, code, message)


def _title(type_: str) -> str:
    return type_.replace("_", " ").capitalize()
