"""Cookies that pages alone need: none of them opens anything."""

from datetime import timedelta
from typing import Final

from fastapi import Request, Response

from twinlock.web.cookies import RepeatedCookieError, read_cookie

FORM: Final = "__Host-twinlock-form"
"""What the token of a form before any session is made of."""
LOGIN: Final = "__Host-twinlock-login"
"""The login that waits for its second factor, and by what it may be answered."""
ENROLLMENT: Final = "__Host-twinlock-enrollment"
"""The login that waits for an enrollment, and what may be enrolled."""
RESET: Final = "__Host-twinlock-reset"
"""The link of a reset of factors, until the password comes along."""
LANGUAGE: Final = "__Host-twinlock-language"
"""The language that was chosen in this browser."""
STEPS: Final = "__Host-twinlock-steps"
"""Since when this browser goes through what to do after somebody else was in the account."""
WAY: Final = "__Host-twinlock-way"
"""That the last sign-in in this browser was by a passkey alone; not whose."""
NOTE: Final = "__Host-twinlock-note"
"""Which change the next page tells of."""


def read(request: Request, name: str) -> str | None:
    """Return a cookie; one that came twice is none."""
    try:
        return read_cookie("; ".join(request.headers.getlist("cookie")), name)
    except RepeatedCookieError:
        return None


def give(response: Response, name: str, value: str, *, max_age: timedelta) -> None:
    """Set a cookie that scripts and other sites do not see."""
    response.set_cookie(
        name,
        value,
        max_age=int(max_age.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )


def forget(response: Response, name: str) -> None:
    """Take a cookie back."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
