"""FastAPI and nothing else: the same four fields without any authentication."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request
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


async def _nothing() -> type[_Somebody]:
    return _Somebody


async def _nothing_either() -> type[_Somebody]:
    return _Somebody


@app.get("/empty")
async def read_me_with_an_empty_dependency(
    user: Annotated[type[_Somebody], Depends(_nothing)],
) -> UserOut:
    return UserOut(
        username=user.username,
        email=user.email,
        full_name=user.full_name,
        disabled=user.disabled,
    )


@app.get("/two", dependencies=[Depends(_nothing_either)])
async def read_me_with_two_empty_dependencies(
    user: Annotated[type[_Somebody], Depends(_nothing)],
) -> UserOut:
    return UserOut(
        username=user.username,
        email=user.email,
        full_name=user.full_name,
        disabled=user.disabled,
    )
