"""How a login that opened nothing is answered: as fastapi-users does, where it has an answer."""

from typing import Any, Final

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_users.router.common import ErrorCode, ErrorModel
from starlette.exceptions import HTTPException

from twinlock.api.bodies import MethodOut
from twinlock.core.errors import TwinlockError
from twinlock.flows.outcomes import EnrollmentRequired, SecondFactorRequired, Throttled
from twinlock.web.problems import retry_after
from twinlock.web.routes import TwinlockRoute, told

SECOND_FACTOR_REQUIRED: Final = "LOGIN_SECOND_FACTOR_REQUIRED"
ENROLLMENT_REQUIRED: Final = "LOGIN_ENROLLMENT_REQUIRED"
TOO_MANY_TRIES: Final = "LOGIN_TOO_MANY_TRIES"
BAD_ANSWER: Final = "LOGIN_BAD_SECOND_FACTOR"

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorModel, "description": "Denied"},
    403: {"model": ErrorModel, "description": "A second factor, or its enrollment, is required"},
    429: {"model": ErrorModel, "description": "Too many tries; see Retry-After"},
}


class DropInRoute(TwinlockRoute):
    """A route whose errors have the shape that clients of fastapi-users know."""

    def answer_error(
        self, error: HTTPException | RequestValidationError | TwinlockError
    ) -> Response:
        """Translate an error that ended a request early."""
        if isinstance(error, RequestValidationError):
            return JSONResponse({"detail": told(error)}, 422)
        return super().answer_error(error)


def refusal(outcome: object) -> tuple[int, Any]:
    """Return the status and the ``detail`` of a login that opened nothing."""
    match outcome:
        case SecondFactorRequired():
            return 403, {
                "reason": SECOND_FACTOR_REQUIRED,
                "login": outcome.handle,
                "expires_in": int(outcome.expires_in.total_seconds()),
                "methods": [
                    MethodOut.of(offered).model_dump(exclude_none=True)
                    for offered in outcome.methods
                ],
            }
        case EnrollmentRequired():
            return 403, ENROLLMENT_REQUIRED
        case Throttled():
            return 429, TOO_MANY_TRIES
        case _:
            return 400, ErrorCode.LOGIN_BAD_CREDENTIALS.value


def refused(outcome: object) -> Response:
    """Return the answer to a login that opened nothing."""
    status, detail = refusal(outcome)
    headers = retry_after(outcome.retry_after) if isinstance(outcome, Throttled) else {}
    return JSONResponse({"detail": detail}, status, headers=dict(headers))
