"""An application on fastapi-users whose login asks for second factors."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from twinlock import Twinlock
from twinlock.contrib.fastapi_users import (
    UserManagerHooks,
    get_auth_router,
    protected,
    require,
    users_directory,
)

SECRET = os.environ.get("SECRET") or secrets.token_urlsafe()  # a new one ends all tokens


class Base(DeclarativeBase): ...


class Person(SQLAlchemyBaseUserTableUUID, Base): ...


class Read(schemas.BaseUser[UUID]): ...


class Create(schemas.BaseUserCreate): ...


engine = create_async_engine(os.environ.get("PEOPLE_URL", "sqlite+aiosqlite:///people.sqlite3"))
auth = Twinlock(directory=users_directory(engine, Person))


class UserManager(UserManagerHooks, UUIDIDMixin, BaseUserManager[Person, UUID]):
    twinlock = auth
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def get_user_manager() -> AsyncIterator[UserManager]:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield UserManager(SQLAlchemyUserDatabase(session, Person))


def get_strategy() -> JWTStrategy[Person, UUID]:
    return JWTStrategy(SECRET, lifetime_seconds=3600)


transport = BearerTransport("auth/jwt/login")
backend = protected(auth, AuthenticationBackend("jwt", transport, get_strategy))
fastapi_users = FastAPIUsers[Person, UUID](get_user_manager, [backend])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
auth.install(app, prefix="/twinlock")
app.include_router(get_auth_router(auth, fastapi_users, backend), prefix="/auth/jwt")
app.include_router(fastapi_users.get_register_router(Read, Create), prefix="/auth")


@app.get("/items")
async def items(user: Annotated[Person, Depends(fastapi_users.current_user())]) -> list[str]:
    return [f"an item of {user.email}"]


@app.post("/transfer")
async def transfer(user: Annotated[Person, require(auth, fastapi_users, acr="aal2")]) -> str:
    return "sent"
