"""Before: the security tutorial's app with its two-factor follow-up. Everything is in this file.

uvicorn --app-dir examples/tutorial_upgraded before:app
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import bcrypt
import pyotp
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import BaseModel

SECRET_KEY = OctKey.import_key("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7")
ALGORITHM = "HS256"
ACCESS_TOKEN_EXPIRE_MINUTES = 30

fake_users_db = {
    "johndoe": {
        "username": "johndoe",
        "full_name": "John Doe",
        "email": "johndoe@example.com",
        # "secret"
        "hashed_password": "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
        "disabled": False,
        # pyotp.random_base32(), scanned by John's phone
        "otp_secret": "VV5ZGRYAZHVSG6A3GZNXQTRXXM7UIKMN",
    }
}


class User(BaseModel):
    username: str
    email: str | None = None
    full_name: str | None = None
    disabled: bool | None = None


class UserInDB(User):
    hashed_password: str
    otp_secret: str


oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()


def get_user(username: str) -> UserInDB | None:
    found: dict[str, Any] | None = fake_users_db.get(username)
    return UserInDB(**found) if found else None


def authenticate_user(username: str, password_and_code: str) -> UserInDB | None:
    user = get_user(username)
    password, code = password_and_code[:-6], password_and_code[-6:]
    if user is None or not bcrypt.checkpw(password.encode(), user.hashed_password.encode()):
        return None
    return user if pyotp.TOTP(user.otp_secret).verify(code) else None


def create_access_token(username: str) -> str:
    expires_at = datetime.now(UTC) + timedelta(minutes=ACCESS_TOKEN_EXPIRE_MINUTES)
    claims = {"sub": username, "exp": int(expires_at.timestamp())}
    return jwt.encode({"alg": ALGORITHM}, claims, SECRET_KEY)


async def get_current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> User:
    refused = HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})
    try:
        claims = jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM]).claims
        jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
    except (JoseError, ValueError) as error:
        raise refused from error
    user = get_user(claims["sub"])
    if user is None:
        raise refused
    return User(**user.model_dump())


async def get_current_active_user(user: Annotated[User, Depends(get_current_user)]) -> User:
    if user.disabled:
        raise HTTPException(400, "Inactive user")
    return user


@app.post("/token")
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    user = authenticate_user(form.username, form.password)
    if user is None:
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Bearer"})
    return {"access_token": create_access_token(user.username), "token_type": "bearer"}


@app.get("/users/me")
async def read_users_me(user: Annotated[User, Depends(get_current_active_user)]) -> User:
    return user


@app.get("/users/me/items")
async def read_own_items(
    user: Annotated[User, Depends(get_current_active_user)],
) -> list[dict[str, str]]:
    return [{"item_id": "Foo", "owner": user.username}]
