"""authx as its documentation has it: a JWT in the header, decoded at each request."""

from typing import Annotated

from authx import AuthX, AuthXConfig, TokenPayload
from fastapi import Depends, FastAPI, Form, HTTPException
from pydantic import BaseModel

auth = AuthX(
    config=AuthXConfig(
        JWT_SECRET_KEY="a secret of the benchmarks, long enough for HS256",
        JWT_TOKEN_LOCATION=["headers"],
    )
)
app = FastAPI()
auth.handle_errors(app)

people = {
    "person0": {
        "username": "person0",
        "email": "person0@example.com",
        "full_name": "A Person",
        "disabled": False,
    }
}


class User(BaseModel):
    username: str
    email: str | None
    full_name: str | None
    disabled: bool


@app.post("/token")
def login(username: Annotated[str, Form()], password: Annotated[str, Form()]) -> dict[str, str]:
    if username not in people or password != "correct horse battery":
        raise HTTPException(401)
    return {"access_token": auth.create_access_token(uid=username)}


@app.get("/users/me")
async def me(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]) -> User:
    return User(**people[payload.sub])
