"""The how-to pages of a host's own users are driven: a table, a login route, fastapi-users."""

import asyncio
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastapi_users import BaseUserManager, FastAPIUsers, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from pydantic import BaseModel
from sqlalchemy import String
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.docs.pages import BASE_URL, PASSWORD, Names, Provide, enroll, run
from tests.support.house import bearer
from twinlock import CurrentUser
from twinlock.accounts.passwords import HashProfile, hash_password
from twinlock.contrib.fastapi_users import require
from twinlock.testing import FakeAuthenticator, Instances, MovableClock

pytestmark = pytest.mark.usefixtures("_development")


class Base(DeclarativeBase): ...


class Person(Base):
    """A table as own-users maps it."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str]
    email: Mapped[str]
    hashed_password: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    roles: Mapped[str] = mapped_column(String, default="")
    created_at: Mapped[datetime] = mapped_column(default=datetime(2026, 1, 1))  # noqa: DTZ001


class LoginForm(BaseModel):
    name: str
    password: str


@pytest.fixture
def people(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, provide: Provide) -> Names:
    """The page's application over a table with one person, in a file."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'people.sqlite3'}"
    engine = create_async_engine(url)

    async def fill() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            hashed = hash_password(PASSWORD, profile=HashProfile(64, 1, 1))
            session.add(Person(login="alice", email="alice@example.com", hashed_password=hashed))
            await session.commit()
        await engine.dispose()

    asyncio.run(fill())

    async def check_password(form: LoginForm) -> Person | None:
        async with AsyncSession(engine) as session:
            person = await session.get(Person, 1)
        return person if form.password == PASSWORD else None

    provide("myapp.models", Person=Person)
    provide("myapp.login", LoginForm=LoginForm, check_password=check_password)
    real = sys.modules["sqlalchemy"].create_engine
    plain = make_url(url).set(drivername="sqlite")
    monkeypatch.setattr("sqlalchemy.create_engine", lambda _: real(plain))
    page = run("own-users")
    page["engine"] = engine
    return page


def in_session(people: Names, act: str, *given: Any) -> Callable[[], Any]:
    """Return what calls a function of the page as a route would, on the application's loop."""

    async def call() -> None:
        async with AsyncSession(people["engine"], expire_on_commit=False) as session:
            person = await session.get(Person, 1)
            assert person is not None
            await people[act](session, person, *given)
        await people["engine"].dispose()

    return call


def test_own_users_sign_in_and_what_is_told_counts_at_once(
    people: Names, twinlock_auth: Instances
) -> None:
    twinlock_auth(people["auth"])
    app: FastAPI = people["app"]

    @app.get("/items")
    def items(user: CurrentUser) -> str:
        return user.username

    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    other = hash_password("another horse battery", profile=HashProfile(64, 1, 1))

    with TestClient(app, base_url=BASE_URL) as client:
        assert client.portal is not None
        for act, given in (("set_password", (other,)), ("disable", ()), ("delete", ())):
            signed_in = client.post("/token", data=form)
            assert signed_in.status_code == (400 if act == "delete" else 200), act
            headers = bearer(signed_in.json()) if act != "delete" else {}
            client.portal.call(in_session(people, act, *given))
            assert client.get("/items", headers=headers).status_code == 401, act
            form["password"] = "another horse battery"


def test_a_login_route_of_your_own(
    people: Names, twinlock_auth: Instances, twinlock_clock: MovableClock
) -> None:
    twinlock_auth(people["auth"])

    with TestClient(people["app"], base_url=BASE_URL) as client:
        wrong = client.post("/login", json={"name": "alice", "password": "guess"})
        first = client.post("/login", json={"name": "alice", "password": PASSWORD}).json()
        phone, _ = enroll(client, bearer(first), twinlock_clock())
        now = twinlock_clock.advance(seconds=30)
        begun = client.post("/login", json={"name": "alice", "password": PASSWORD}).json()
        answer = {"login": begun["login"], "answer": phone.code(now)}
        done = client.post("/login/totp", json=answer)
        again = client.post("/login/totp", json=answer)

    assert wrong.status_code == 401
    assert first["status"] == "signed_in"
    assert begun["status"] == "second_factor_required"
    assert (done.json()["status"], done.json()["acr"]) == ("signed_in", "aal2")
    assert again.status_code == 401


class FastapiUsersBase(DeclarativeBase): ...


class UsersPerson(SQLAlchemyBaseUserTableUUID, FastapiUsersBase): ...


def test_from_fastapi_users(
    tmp_path: Any, twinlock_auth: Instances, twinlock_clock: MovableClock
) -> None:
    """The page's cut between what stands around it in any application of fastapi-users."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'people.sqlite3'}")
    page: Names = {}

    async def get_user_manager() -> Any:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            manager = page["UserManager"](SQLAlchemyUserDatabase(session, UsersPerson))
            manager.reset_password_token_secret = manager.verification_token_secret = "s" * 32
            yield manager

    class Read(schemas.BaseUser[UUID]): ...

    class Create(schemas.BaseUserCreate): ...

    class Update(schemas.BaseUserUpdate): ...

    page.update(
        run(
            "from-fastapi-users",
            given={
                "UUID": UUID,
                "Person": UsersPerson,
                "FastAPI": FastAPI,
                "AuthenticationBackend": AuthenticationBackend,
                "BaseUserManager": BaseUserManager,
                "engine": engine,
                "transport": BearerTransport("auth/jwt/login"),
                "get_strategy": lambda: JWTStrategy("s" * 32, lifetime_seconds=3600),
                "get_user_manager": get_user_manager,
            },
        )
    )
    users: FastAPIUsers[Any, Any] = page["fastapi_users"]
    app: FastAPI = page["app"]
    app.include_router(users.get_register_router(Read, Create), prefix="/auth")
    fresh = require(
        page["auth"], users, acr="aal2", max_age=timedelta(minutes=10)
    )  # as the page says in its table
    app.include_router(users.get_users_router(Read, Update), prefix="/users", dependencies=[fresh])
    twinlock_auth(page["auth"])

    async def make_tables() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(FastapiUsersBase.metadata.create_all)

    form = {"username": "alice@example.com", "password": PASSWORD}
    with TestClient(app, base_url=BASE_URL) as client:
        assert client.portal is not None
        client.portal.call(make_tables)
        client.post("/auth/register", json={"email": form["username"], "password": PASSWORD})
        token = client.post("/auth/jwt/login", data=form).json()
        ours = client.post("/auth/jwt/access", headers=bearer(token)).json()
        begun = client.post("/twinlock/api/factors/totp", headers=bearer(ours)).json()
        phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
        answer = {"enrollment": begun["enrollment"], "answer": phone.code(twinlock_clock())}
        client.post("/twinlock/api/factors/totp/confirm", json=answer, headers=bearer(ours))
        ended = client.get("/users/me", headers=bearer(token))
        needed = client.post("/auth/jwt/login", data=form)
        code = phone.code(twinlock_clock.advance(seconds=30))
        answer = {"login": needed.json()["detail"]["login"], "answer": code}
        strong = client.post("/auth/jwt/login/totp", json=answer)
        me = client.get("/users/me", headers=bearer(strong.json()))
        twinlock_clock.advance(minutes=11)
        late = client.get("/users/me", headers=bearer(strong.json()))
        client.portal.call(engine.dispose)

    assert needed.status_code == 403
    assert needed.json()["detail"]["reason"] == "LOGIN_SECOND_FACTOR_REQUIRED"
    assert (ended.status_code, me.status_code, late.status_code) == (401, 200, 401)
    assert me.json()["email"] == form["username"]
