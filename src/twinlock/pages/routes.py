"""The route class of pages: strict like the API's, but what goes wrong is a page as well."""

import logging
from math import ceil
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from twinlock.core.errors import DatabaseUnavailableError, TwinlockError
from twinlock.core.secrets import new_id
from twinlock.pages.forms import StaleFormError
from twinlock.pages.shown import page
from twinlock.web.headers import encoded, with_missing
from twinlock.web.problems import ProblemError
from twinlock.web.recognition import NotStartedError
from twinlock.web.routes import (
    OwnRouter,
    StrictRequest,
    check_host,
    check_url,
    failed_closed,
    router,
)

log = logging.getLogger("twinlock.pages")

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = encoded(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        # Any stricter one makes browsers send `Origin: null` with our own forms.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Vary": "Cookie, Accept-Language",
    }
)


class NotForYouError(ProblemError):
    """The page is for others; the answer says as whom the visitor is signed in."""

    def __init__(self, name: str) -> None:
        super().__init__(403, "role_required", "Not allowed.")
        self.name = name


class NoSecondFactorError(ProblemError):
    """A page that wants a second factor, for who has none."""

    def __init__(self) -> None:
        super().__init__(403, "no_second_factor", "Set up a second factor first.")


class PageRoute(APIRoute):
    """A route that answers every error itself, as a page."""

    def get_route_handler(self) -> Any:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                check_host(request)
                check_url(request)
                response = await handle(StrictRequest(request.scope, request.receive))
            except (HTTPException, RequestValidationError, TwinlockError) as error:
                response = error_page(request, error)
            except Exception as error:
                reference = new_id()[:8]
                told = {"error": type(error).__name__, "reference": reference}
                log.exception("request_failed", extra=told)
                response = _error(request, "errors/broken.html", 500, reference=reference)
            response.raw_headers[:] = with_missing(response.raw_headers, HEADERS)
            return response

        return answer


def error_page(
    request: Request, error: HTTPException | RequestValidationError | TwinlockError
) -> Response:
    """Translate an error that ended a request early."""
    match error:
        case StaleFormError():
            return _error(request, "errors/stale.html", 403)
        case NotForYouError(name=name):
            return _error(request, "errors/not_for_you.html", 403, name=name)
        case NoSecondFactorError():
            return _error(request, "errors/no_second_factor.html", 403)
        case NotStartedError():
            return error_page(request, DatabaseUnavailableError(error.detail))
        case HTTPException(status_code=303):
            location = (error.headers or {})["Location"]
            return RedirectResponse(location, 303)
        case HTTPException(status_code=404 | 405):
            return _error(request, "errors/missing.html", error.status_code)
        case HTTPException():
            return _error(request, "errors/refused.html", error.status_code)
        case RequestValidationError():
            return _error(request, "errors/missing.html", 404)
        case TwinlockError():
            _, wait = failed_closed(error)
            seconds = max(1, ceil(wait.total_seconds()))
            response = _error(request, "errors/busy.html", 503, seconds=seconds)
            response.headers["Retry-After"] = str(seconds)
            return response


def page_router(**options: Any) -> OwnRouter:
    """Return a router of pages; none of them is part of the API's description."""
    return router(PageRoute, include_in_schema=False, **options)


def _error(request: Request, template: str, status: int, **shown: Any) -> HTMLResponse:
    response = page(request, template, status=status, **shown)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
