"""``/.well-known``: the keys to verify tokens with, and the server's metadata."""

from typing import Any

from fastapi.responses import JSONResponse

from twinlock.api.token import SECOND_FACTOR
from twinlock.web.deps import Running
from twinlock.web.routes import router

api = router(prefix="/.well-known", tags=["metadata"])

_CACHED = {"Cache-Control": "public, max-age=300"}


@api.get("/jwks.json", response_model=None)
async def read_jwks(runtime: Running) -> JSONResponse:
    """Return the public keys that access tokens are verified with (RFC 7517)."""
    keys = await runtime.workers.run(runtime.keys.current)
    return JSONResponse(keys.jwks(), headers=_CACHED, media_type="application/jwk-set+json")


@api.get("/oauth-authorization-server", response_model=None)
async def read_metadata(runtime: Running) -> JSONResponse:
    """Return the authorization server metadata (RFC 8414)."""
    base = runtime.parts.issuer
    prefix = runtime.prefix
    grants = ["refresh_token", SECOND_FACTOR]
    if runtime.password_grant_enabled:
        grants.insert(0, "password")
    body: dict[str, Any] = {
        "issuer": base,
        "token_endpoint": f"{base}{prefix}/token",
        "revocation_endpoint": f"{base}{prefix}/revoke",
        "jwks_uri": f"{base}{prefix}/.well-known/jwks.json",
        "grant_types_supported": grants,
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": sorted(runtime.parts.scopes),
        "acr_values_supported": ["aal1", "aal2", "phr"],
    }
    return JSONResponse(body, headers=_CACHED)
