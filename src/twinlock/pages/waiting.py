"""The logins that a browser has begun and not finished, and how it leaves them."""

from fastapi import Request, Response

from twinlock.pages import cookies

_LOGINS = (cookies.ENROLLMENT, cookies.LOGIN)


def waiting_handles(request: Request) -> list[str]:
    """Return the handles of this browser's waiting logins, the newest kind first."""
    found = (cookies.read(request, name) for name in _LOGINS)
    return [handle for value in found if value and (handle := value.partition("~")[0])]


def forget_waiting(response: Response) -> Response:
    """Let the browser forget what it has begun, and the link of a reset that belongs to it."""
    for name in (*_LOGINS, cookies.RESET):
        cookies.forget(response, name)
    return response
