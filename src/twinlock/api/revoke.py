"""``/revoke``: end a session by one of its tokens (RFC 7009)."""

from datetime import datetime

from fastapi import Request, Response

from twinlock.api.token import OAuthError, OAuthRoute, read_form
from twinlock.audit.events import Caller
from twinlock.web.deps import From, Now, Running
from twinlock.web.routes import router
from twinlock.web.runtime import Runtime

api = router(OAuthRoute, tags=["token"])

_OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "token": {"type": "string"},
                        "token_type_hint": {"type": "string"},
                    },
                    "required": ["token"],
                }
            }
        },
    }
}


@api.post("/revoke", openapi_extra=_OPENAPI, response_model=None)
async def revoke(request: Request, runtime: Running, caller: From, now: Now) -> Response:
    """End the session that a refresh or access token belongs to; 200 for any token at all."""
    try:
        form = await read_form(request)
    except OAuthError as error:
        return error.response()
    token = form.get("token", "")
    if not token:
        return OAuthError("invalid_request", "token is missing.").response()
    await runtime.workers.run(_revoke, runtime, token, caller, now=now)
    return Response(status_code=200)


def _revoke(runtime: Runtime, token: str, caller: Caller, *, now: datetime) -> None:
    claims = runtime.sight.claims_of(token)  # may load keys, so it belongs to this thread as well
    session_id = claims.session_id if claims else None
    runtime.refresh.revoke(token, session_id, caller, now=now)
