"""What forms are answered with: another page, and the cookies that belong to a sign-in."""

from datetime import timedelta
from math import ceil
from typing import Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from twinlock.core.proof import Acr
from twinlock.flows.outcomes import IssuedCookie, SignedIn, Throttled
from twinlock.pages import cookies
from twinlock.pages.paths import HOME, with_query
from twinlock.pages.shown import pages_of
from twinlock.web import cookies as web_cookies
from twinlock.web.problems import BEARER, retry_after
from twinlock.web.runtime import Runtime

STEPS: Final = "/not-me"
_TOLD_WITHIN: Final = timedelta(minutes=1)


def see_other(path: str, *, note: str | None = None) -> Response:
    """Lead to another page, which tells of what was done."""
    response = RedirectResponse(path, 303)
    if note is not None:
        cookies.give(response, cookies.NOTE, note, max_age=_TOLD_WITHIN)
    return response


def home(runtime: Runtime, *, note: str | None = None) -> Response:
    """Lead to the own account."""
    return see_other(runtime.prefix + HOME, note=note)


def after(request: Request, runtime: Runtime, *, note: str) -> Response:
    """Lead back from a change: to the steps that one goes through, or to the own account."""
    is_under_way = cookies.read(request, cookies.STEPS) is not None
    return see_other(runtime.prefix + (STEPS if is_under_way else HOME), note=note)


def with_session(runtime: Runtime, response: Response, signed_in: SignedIn) -> Response:
    """Give the browser the cookies of its session, and take back those of the way there."""
    if isinstance(signed_in.credentials, IssuedCookie):
        web_cookies.set_session(response, signed_in.credentials)
    if signed_in.device is not None:
        web_cookies.set_device(response, signed_in.device)
    if signed_in.known_browser is not None:
        lifetime = runtime.parts.throttle.familiar_for.browser
        web_cookies.set_known(response, signed_in.known_browser, lifetime=lifetime)
    cookies.forget(response, cookies.LOGIN)
    cookies.forget(response, cookies.FORM)
    return response


async def let_in(
    request: Request,
    runtime: Runtime,
    signed_in: SignedIn,
    there: str | None,
    *,
    note: str | None = None,
) -> Response:
    """Lead to where one wanted to go; before a policy demands more, past the page that sets it up.

    Who came with a remembered device has a second factor already, whatever this sign-in proved.
    """
    language = pages_of(request).language(request)
    await runtime.workers.run(runtime.account.learn_language, signed_in.context.account, language)
    on = there or runtime.prefix + HOME
    is_bare = signed_in.context.acr is not Acr.AAL1 or signed_in.device is None
    if signed_in.enrollment_due is not None and is_bare:
        on = with_query(f"{runtime.prefix}/factors/new", next=on)
    response = with_session(runtime, see_other(on, note=note), signed_in)
    if cookies.read(request, cookies.WAY) is not None:
        cookies.forget(response, cookies.WAY)  # a passkey alone sets it anew
    return response


def denied(response: Response) -> Response:
    """Challenge as every 401 does (RFC 9110 section 15.5.2); browsers show the page."""
    response.headers.update(BEARER)
    return response


def throttled(response: Response, outcome: Throttled) -> Response:
    """Say when to come back."""
    response.headers.update(retry_after(outcome.retry_after))
    return response


def minutes(outcome: Throttled) -> int:
    """Return the wait in whole minutes, at least one."""
    return max(1, ceil(outcome.retry_after.total_seconds() / 60))
