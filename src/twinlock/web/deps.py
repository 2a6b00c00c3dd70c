"""What routes ask for by name: the present moment, the caller, the running installation."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from twinlock.audit.events import Caller
from twinlock.flows.opening import Transport
from twinlock.web import cookies
from twinlock.web.credentials import session_cookie
from twinlock.web.network import caller_of
from twinlock.web.problems import ProblemError, cross_site_request
from twinlock.web.runtime import Runtime, runtime_of


@dataclass(frozen=True, slots=True)
class SignInStep:
    """What each step of a sign-in wants to know of its request.

    Attributes:
        device: The cookie of a trusted device, if the request has one.
        now: The moment of the request.
    """

    runtime: Runtime
    caller: Caller
    device: str | None = field(repr=False)
    now: datetime


async def _runtime(connection: HTTPConnection) -> Runtime:
    return runtime_of(connection)


async def _now(connection: HTTPConnection) -> datetime:
    return runtime_of(connection).clock()


async def _caller(connection: HTTPConnection) -> Caller:
    return caller(connection, runtime_of(connection))


async def _cookie(connection: HTTPConnection) -> str | None:
    return session_cookie(connection)


async def _transport(connection: HTTPConnection) -> Transport:
    return Transport.COOKIE if session_cookie(connection) else Transport.BEARER


async def _browser_sign_in(connection: HTTPConnection) -> None:
    refuse_other_sites(connection)


def refuse_other_sites(connection: HTTPConnection) -> None:
    """Refuse a sign-in that another site's page sends (login CSRF).

    Raises:
        ProblemError: 403, before anything is read or counted.
    """
    has_cookie = session_cookie(connection) is not None
    origin = runtime_of(connection).origin
    if origin.is_cross_site(connection, has_cookie=has_cookie):
        raise cross_site_request(origin.name)


def refuse_cookie_to_guest(connection: HTTPConnection, transport: Transport) -> None:
    """Refuse to sign a browser in by cookie for a page that may call us only without.

    Raises:
        ProblemError: 403, before anything is counted.
    """
    if transport is Transport.COOKIE and runtime_of(connection).origin.is_guest(connection):
        raise ProblemError(403, "cross_site_request", "Cookies are for our own pages only.")


def caller(connection: HTTPConnection, runtime: Runtime) -> Caller:
    """Return where a request came from."""
    header = "; ".join(connection.headers.getlist("cookie"))
    try:
        known = cookies.read_cookie(header, cookies.KNOWN) if cookies.KNOWN in header else None
    except cookies.RepeatedCookieError:
        known = None
    return caller_of(connection, runtime.trusted_proxies, known_browser=known)


def _device_cookie(connection: HTTPConnection) -> str | None:
    header = "; ".join(connection.headers.getlist("cookie"))
    try:
        return cookies.read_cookie(header, cookies.DEVICE) if cookies.DEVICE in header else None
    except cookies.RepeatedCookieError:
        return None  # one of the two was planted: neither stands for a second factor


async def _device(connection: HTTPConnection) -> str | None:
    return _device_cookie(connection)


def sign_in_step(connection: HTTPConnection) -> SignInStep:
    """Return what a step of a sign-in wants to know of its request.

    Called, not injected: FastAPI solves each dependency at a tenth of a request's cost.
    """
    runtime = runtime_of(connection)
    return SignInStep(
        runtime, caller(connection, runtime), _device_cookie(connection), runtime.clock()
    )


Running = Annotated[Runtime, Depends(_runtime)]
"""The running installation."""

Now = Annotated[datetime, Depends(_now)]
"""The moment of the request."""

From = Annotated[Caller, Depends(_caller)]
"""Where the request came from."""

SessionCookie = Annotated[str | None, Depends(_cookie)]
"""The secret of the session cookie, if the request has one."""

TrustedDevice = Annotated[str | None, Depends(_device)]
"""The cookie of a trusted device, if the request has one."""

SameTransport = Annotated[Transport, Depends(_transport)]
"""How this request carries its session, and so how its replacement is to be carried."""

OWN_SITE = Depends(_browser_sign_in)
"""Refuses a sign-in that another site's page sends (login CSRF)."""
