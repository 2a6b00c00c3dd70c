"""The same route in a service that only verifies tokens, without a database."""

from fastapi import FastAPI

from benchmarks.apps.bare import UserOut
from twinlock import CurrentUser
from twinlock.tokens import Verifier

app = FastAPI()
Verifier(issuer="https://login.example.com").install(app)


@app.get("/me")
async def read_me(user: CurrentUser) -> UserOut:
    return UserOut(
        username=user.username,
        email=user.email,
        full_name=user.full_name,
        disabled=user.disabled,
    )
