"""``/token``, the OAuth 2.0 token endpoint: the tutorial's path, with everything behind it."""

from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from twinlock.api.bodies import MethodOut
from twinlock.api.responses import known_from_now_on
from twinlock.audit.events import Caller
from twinlock.core.errors import TwinlockError
from twinlock.flows import admission
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    IssuedTokens,
    Refused,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.web.deps import caller as caller_in
from twinlock.web.password_step import Submitted, submit_password
from twinlock.web.problems import retry_after
from twinlock.web.routes import TwinlockRoute, failed_closed, router
from twinlock.web.runtime import Runtime, runtime_of

SECOND_FACTOR: Final = "urn:twinlock:params:oauth:grant-type:second-factor"
_MAX_FIELDS: Final = 32
_FORM: Final = "application/x-www-form-urlencoded"

Form = dict[str, str]

_PROPERTIES: Final = {
    "grant_type": {"type": "string", "enum": ["password", "refresh_token", SECOND_FACTOR]},
    "username": {"type": "string"},
    "password": {"type": "string", "format": "password"},
    "otp": {"type": "string", "description": "A TOTP or recovery code, if not appended."},
    "refresh_token": {"type": "string"},
    "mfa_token": {"type": "string"},
    "method": {"type": "string"},
    "answer": {"type": "string"},
    "scope": {"type": "string"},
}
_TOKENS: Final = {
    "access_token": {"type": "string"},
    "token_type": {"type": "string", "enum": ["bearer"]},
    "expires_in": {"type": "integer"},
    "refresh_token": {"type": "string"},
    "scope": {"type": "string"},
}
_ERROR: Final = {
    "error": {"type": "string"},
    "error_description": {"type": "string"},
    "mfa_token": {"type": "string"},
    "expires_in": {"type": "integer"},
    "methods": {"type": "array", "items": MethodOut.model_json_schema()},
}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_OPENAPI: Final = {
    "requestBody": {
        "required": True,
        "content": {_FORM: {"schema": _object(_PROPERTIES, "grant_type")}},
    }
}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: _json("Tokens", _object(_TOKENS, "access_token", "token_type", "expires_in", "scope")),
    400: _json("Denied, or not understood", _object(_ERROR, "error")),
    403: _json("The password was right; a second factor is required", _object(_ERROR, "error")),
    413: _json("The body is too large", _object(_ERROR, "error")),
    429: _json("Too many tries; see Retry-After", _object(_ERROR, "error")),
    503: _json("The service cannot decide now", _object(_ERROR, "error")),
}


class OAuthRoute(TwinlockRoute):
    """A route whose errors are those of OAuth 2.0 (RFC 6749 section 5.2)."""

    def answer_error(
        self, error: HTTPException | RequestValidationError | TwinlockError
    ) -> Response:
        """Translate an error that ended a request early."""
        if isinstance(error, HTTPException):
            body = {"error": "invalid_request", "error_description": str(error.detail)}
            return JSONResponse(body, error.status_code, headers=error.headers)
        if isinstance(error, TwinlockError):
            _, wait = failed_closed(error)
            body = {"error": "temporarily_unavailable"}
            return JSONResponse(body, 503, headers=retry_after(wait))
        return super().answer_error(error)


class OAuthError(Exception):
    """An error body of OAuth 2.0 (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status

    def response(self) -> JSONResponse:
        """Return it."""
        body = {"error": self.error, "error_description": self.description}
        return JSONResponse(body, self.status)


api = router(OAuthRoute, tags=["token"])


@api.post("/token", openapi_extra=_OPENAPI, responses=_RESPONSES, response_model=None)
async def issue_token(request: Request) -> Response:
    """Exchange a password, a second factor or a refresh token for tokens."""
    runtime = runtime_of(request)
    caller, now = caller_in(request, runtime), runtime.clock()
    try:
        form = await read_form(request)
        if runtime.origin.is_cross_site(request, has_cookie=False):
            where = f"The request comes from elsewhere than {runtime.origin.name}."
            raise OAuthError("invalid_request", where, status=403)
        match form.get("grant_type"):
            case "password" if runtime.password_grant_enabled:
                return await _password(form, runtime, caller, now)
            case "refresh_token":
                return await _refresh(form, runtime, caller, now)
            case grant if grant == SECOND_FACTOR:
                return await _second_factor(form, runtime, caller, now)
            case None:
                raise OAuthError("unsupported_grant_type", "grant_type is missing.")
            case _:
                raise OAuthError("unsupported_grant_type", "This grant_type is not supported.")
    except OAuthError as error:
        return error.response()


async def read_form(request: Request) -> Form:
    """Return the fields of a form, each of which may come once (RFC 6749 section 3.2).

    Raises:
        OAuthError: Not a form, not UTF-8, too many fields, or a field twice.
    """
    if request.scope["query_string"]:
        raise OAuthError("invalid_request", "Parameters belong into the body, not into the URL.")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if media_type != _FORM and (media_type or body):
        raise OAuthError("invalid_request", f"The body must be {_FORM}.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_MAX_FIELDS,
            errors="strict",
        )
    except ValueError as error:
        raise OAuthError("invalid_request", "The form cannot be read.") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "A field is there twice.")
    return form


def tokens(issued: IssuedTokens) -> JSONResponse:
    """Return a token response (RFC 6749 section 5.1)."""
    body = {
        "access_token": issued.access_token,
        "token_type": "bearer",
        "expires_in": int(issued.expires_in.total_seconds()),
        "scope": " ".join(issued.scope),
    }
    if issued.refresh_token is not None:
        body["refresh_token"] = issued.refresh_token
    return JSONResponse(body)


async def _password(form: Form, runtime: Runtime, caller: Caller, now: datetime) -> Response:
    submitted = Submitted(
        _required(form, "username"),
        _required(form, "password"),
        otp=form.get("otp"),
        may_append=True,
    )
    request = admission.Request(caller, scope=_granted_scope(form, runtime))
    outcome = await submit_password(runtime, submitted, request, now=now)
    return _answer(outcome, runtime)


async def _second_factor(form: Form, runtime: Runtime, caller: Caller, now: datetime) -> Response:
    outcome = await runtime.workers.run(
        runtime.answering.submit_answer,
        _required(form, "mfa_token"),
        _required(form, "method"),
        _required(form, "answer"),
        admission.Request(caller),
        now=now,
    )
    return _answer(outcome, runtime)


async def _refresh(form: Form, runtime: Runtime, caller: Caller, now: datetime) -> Response:
    scope = tuple(form["scope"].split()) if form.get("scope") else None
    outcome = await runtime.workers.run(
        runtime.refresh.refresh, _required(form, "refresh_token"), scope, caller, now=now
    )
    match outcome:
        case IssuedTokens():
            return tokens(outcome)
        case Refused(code=code, message=message):
            raise OAuthError(code, message)
        case Denied():
            return _denied()


def _answer(
    outcome: SignedIn | SecondFactorRequired | EnrollmentRequired | Denied | Throttled,
    runtime: Runtime,
) -> Response:
    match outcome:
        case EnrollmentRequired():
            raise OAuthError("enrollment_required", "Enroll a second factor first.", status=403)
        case SignedIn(credentials=IssuedTokens() as issued):
            return known_from_now_on(runtime, tokens(issued), outcome)
        case SecondFactorRequired():
            body = {
                "error": "mfa_required",
                "error_description": "A second factor is required.",
                "mfa_token": outcome.handle,
                "expires_in": int(outcome.expires_in.total_seconds()),
                "methods": [
                    MethodOut.of(offered).model_dump(exclude_none=True)
                    for offered in outcome.methods
                ],
            }
            return JSONResponse(body, 403)
        case Throttled():
            error = OAuthError("too_many_tries", "Too many tries. Wait.", status=429)
            response = error.response()
            response.headers.update(retry_after(outcome.retry_after))
            return response
        case _:
            return _denied()


def _denied() -> Response:
    return OAuthError("invalid_grant", "The credentials are not valid.").response()


def _required(form: Form, name: str) -> str:
    value = form.get(name)
    if value is None or value == "":
        raise OAuthError("invalid_request", f"{name} is missing.")
    return value


def _granted_scope(form: Form, runtime: Runtime) -> tuple[str, ...]:
    """Return the scope asked for, all of which must be one that this server knows."""
    asked = tuple(dict.fromkeys(form.get("scope", "").split()))
    if not set(asked) <= runtime.parts.scopes:
        raise OAuthError("invalid_scope", "The scope is unknown.")
    return asked
