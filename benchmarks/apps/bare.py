"""FastAPI and nothing else: the same four fields without any authentication."""

from fastapi import FastAPI, Request
from pydantic import BaseModel


class UserOut(BaseModel):
    username: str
    email: str | None
    full_name: str | None
    disabled: bool


class _Somebody:
    username = "person0"
    email = "person0@example.com"
    full_name = "A Person"
    disabled = False


app = FastAPI()


@app.get("/me")
async def read_me(request: Request) -> UserOut:
    user = _Somebody
    return UserOut(
        username=user.username,
        email=user.email,
        full_name=user.full_name,
        disabled=user.disabled,
    )
