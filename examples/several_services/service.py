"""A service without a database: it checks the access tokens of a login server elsewhere."""

import os
from typing import Annotated

from fastapi import FastAPI

from twinlock import CurrentUser, User, require
from twinlock.tokens import Verifier

app = FastAPI()
Verifier(issuer=os.environ.get("ISSUER", "http://localhost:8000")).install(app)


@app.get("/me")
async def me(user: CurrentUser) -> dict[str, str]:
    return {"id": user.id, "acr": user.acr}


@app.get("/reports")
async def reports(user: Annotated[User, require(acr="aal2")]) -> dict[str, str]:
    return {"for": user.id}
