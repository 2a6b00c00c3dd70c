"""An application that does nothing but refuse: what a 401 costs the server itself."""

from starlette.types import Receive, Scope, Send

_BODY = b'{"type":"invalid_token","title":"Invalid token","status":401,"detail":"Not valid."}'
_HEADERS = [
    (b"content-type", b"application/problem+json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"www-authenticate", b'Bearer error="invalid_token", error_description="Not valid."'),
]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 401, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
