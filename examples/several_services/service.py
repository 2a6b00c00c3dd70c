"""A service without a database: it checks the access tokens of a login server elsewhere.

ISSUER=http://localhost:8000 uvicorn --app-dir examples/several_services service:app --port 8001
"""

import json
import os
import time
import urllib.request
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol, KeySet

ISSUER = os.environ.get("ISSUER", "http://localhost:8000")
AUDIENCE = os.environ.get("AUDIENCE", ISSUER)
HEADER = {"alg": "ES256", "typ": "at+jwt"}
RULES = jwt.JWTClaimsRegistry(
    leeway=30,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    exp={"essential": True},
)


def fetch_keys() -> dict[str, ECKey]:
    url = f"{ISSUER}/.well-known/jwks.json"
    with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 - an operator names it
        keys = KeySet.import_key_set(json.load(reply))
    return {str(key.kid): key for key in keys if isinstance(key, ECKey)}


class Keys:
    """The login server's public keys: an hour old at most, fetched anew for an unknown id."""

    def __init__(self) -> None:
        self._keys: dict[str, ECKey] = {}
        self._fetched_at = float("-inf")

    def __call__(self, token: GuestProtocol) -> ECKey:
        kid = token.headers().get("kid")
        age = time.monotonic() - self._fetched_at
        if age > 3600 or (kid not in self._keys and age > 5):
            self._keys, self._fetched_at = fetch_keys(), time.monotonic()
        if kid not in self._keys:
            raise ValueError("unknown key")
        return self._keys[kid]


def denied(error: str) -> HTTPException:
    return HTTPException(401, "Not authenticated", {"WWW-Authenticate": f'Bearer error="{error}"'})


keys = Keys()


def claims_of(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> Any:
    try:
        token = jwt.decode(bearer.credentials, keys, algorithms=["ES256"])
        RULES.validate(token.claims)
    except (JoseError, ValueError) as error:
        raise denied("invalid_token") from error
    if {**token.header, **HEADER} != token.header:
        raise denied("invalid_token")
    return token.claims


app = FastAPI()


@app.get("/reports")
def reports(claims: Annotated[Any, Depends(claims_of)]) -> dict[str, Any]:
    if claims["acr"] not in {"aal2", "phr"}:
        raise denied('insufficient_user_authentication", acr_values="aal2')
    return {"for": claims["sub"]}
