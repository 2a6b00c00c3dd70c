"""Our cookies: the session, the browser known from an earlier sign-in, the trusted device."""

from datetime import timedelta
from typing import Final

from fastapi import Response

from twinlock.flows.outcomes import DeviceCookie, IssuedCookie

SESSION: Final = "__Host-twinlock"
KNOWN: Final = "__Host-twinlock-known"
DEVICE: Final = "__Host-twinlock-device"
_MAX_VALUE = 192
_BLANKS: Final = " \t"


class RepeatedCookieError(ValueError):
    """Two cookies of our name came along: one of them was planted."""


def read_cookie(header: str, name: str) -> str | None:
    """Return the value of our cookie from a ``Cookie`` header.

    Only spaces and tabs are no part of a name (RFC 6265 section 5.2). A browser would let any
    site of the domain set a cookie named like ours behind another blank of Unicode, because the
    rules of ``__Host-`` do not hold for that name.

    Raises:
        RepeatedCookieError: It is there twice.
    """
    values = [
        value.strip(_BLANKS).strip('"')
        for key, separator, value in (part.partition("=") for part in header.split(";"))
        if separator and key.strip(_BLANKS) == name
    ]
    if len(values) > 1:
        raise RepeatedCookieError(name)
    return values[0][:_MAX_VALUE] if values and values[0] else None


def set_session(response: Response, issued: IssuedCookie) -> None:
    """Give the browser its session."""
    _set(response, SESSION, issued.secret, max_age=issued.expires_in)


def set_known(response: Response, secret: str, *, lifetime: timedelta) -> None:
    """Let the browser be known at its next sign-in."""
    _set(response, KNOWN, secret, max_age=lifetime)


def set_device(response: Response, device: DeviceCookie) -> None:
    """Give a trusted device what it shows at its next sign-in."""
    _set(response, DEVICE, device.value, max_age=device.expires_in)


def clear_session(response: Response) -> None:
    """Take the session from a browser, and all that it stored (ASVS 5.0 14.3.1)."""
    response.delete_cookie(SESSION, path="/", secure=True, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'


def clear_device(response: Response) -> None:
    """Take from a browser what made it a trusted device."""
    response.delete_cookie(DEVICE, path="/", secure=True, httponly=True, samesite="lax")


def _set(response: Response, name: str, value: str, *, max_age: timedelta) -> None:
    response.set_cookie(
        name,
        value,
        max_age=int(max_age.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )
