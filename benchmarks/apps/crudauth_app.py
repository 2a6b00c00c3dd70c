"""crudauth as its documentation has it: a bearer token, and the user's row at each request."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from crudauth import BearerTransport, CRUDAuth, Principal
from crudauth.models import AuthUserMixin
from crudauth.ratelimit import LockoutConfig
from crudauth.utils.hashing import get_password_hash
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['BENCH_DATABASE']}")
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase): ...


class Person(Base, AuthUserMixin):
    __tablename__ = "users"
    full_name: Mapped[str | None] = mapped_column(default=None)


async def get_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


auth = CRUDAuth(
    session=get_session,
    user_model=Person,
    SECRET_KEY="a secret of the benchmarks, long enough for HS256",
    transports=[BearerTransport()],
    warn_on_memory_backend=False,
    lockout=LockoutConfig(max_attempts=1_000_000),  # it counts logins that are under way
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with new_session() as session:
        if await session.scalar(select(func.count()).select_from(Person)) == 0:
            session.add(
                Person(
                    username="person0",
                    email="person0@example.com",
                    full_name="A Person",
                    hashed_password=get_password_hash("correct horse battery"),
                    email_verified=True,
                )
            )
            await session.commit()
    await auth.initialize()
    yield
    await auth.shutdown()


class User(BaseModel):
    username: str
    email: str | None
    full_name: str | None
    disabled: bool


app = FastAPI(lifespan=lifespan)
app.include_router(auth.router)


@app.get("/users/me")
async def me(principal: Annotated[Principal, Depends(auth.current_user())]) -> User:
    person = principal.user
    return User(
        username=person.username,
        email=person.email,
        full_name=person.full_name,
        disabled=not person.is_active,
    )
