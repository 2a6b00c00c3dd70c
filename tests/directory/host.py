"""A host with users of its own, kept in each of the ways that a host may keep them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.support.house import BASE_URL, PASSWORD, House, bearer, sign_in
from twinlock import CurrentUser, Directory, DirectoryEntry, Twinlock
from twinlock.accounts.passwords import HashProfile, hash_password
from twinlock.contrib.sqlalchemy import SqlAlchemyDirectory
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.web.runtime import Runtime

FAST = HashProfile(64, 1, 1)
users = Table(
    "users",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String, unique=True),
    Column("mail", String),
    Column("hashed", String),
    Column("is_active", Boolean),
    Column("roles", String),
    Column("created", DateTime),
)
COLUMNS: Any = {
    "id": "id",
    "username": "name",
    "email": "mail",
    "password_hash": "hashed",
    "active": "is_active",
    "roles": "roles",
    "since": "created",
}


class Users:
    """The host's table."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'host.sqlite3'}"
        self.engine: Engine = create_engine(self.url, poolclass=NullPool)
        users.create(self.engine)

    def add(self, name: str = "johndoe", password: str = PASSWORD, **given: Any) -> int:
        row = {
            "name": name,
            "mail": f"{name}@example.com",
            "hashed": hash_password(password, profile=FAST),
            "is_active": True,
            "roles": "",
            "created": datetime(2026, 1, 1, tzinfo=UTC),
            **given,
        }
        with self.engine.begin() as tx:
            (made,) = tx.execute(insert(users).returning(users.c.id), row).one()
        assert isinstance(made, int)
        return made

    def change(self, user_id: int, **values: Any) -> None:
        with self.engine.begin() as tx:
            tx.execute(users.update().where(users.c.id == user_id).values(**values))

    def delete(self, user_id: int) -> None:
        with self.engine.begin() as tx:
            tx.execute(users.delete().where(users.c.id == user_id))

    def get(self, user_id: int) -> Any:
        with self.engine.connect() as db:
            return db.execute(users.select().where(users.c.id == user_id)).one()


class Plain:
    """A directory written by hand."""

    def __init__(self, host: Users) -> None:
        self.host = host
        self.asked: list[str] = []

    def find(self, login: str) -> DirectoryEntry | None:
        return self._read(users.c.name == login)

    def get(self, account_id: str) -> DirectoryEntry | None:
        self.asked.append(account_id)
        return self._read(users.c.id == int(account_id))

    def _read(self, where: Any) -> DirectoryEntry | None:
        with self.host.engine.connect() as db:
            row = db.execute(users.select().where(where)).one_or_none()
        if row is None:
            return None
        return DirectoryEntry(
            id=row.id,
            username=row.name,
            email=row.mail,
            password_hash=row.hashed,
            disabled=not row.is_active,
            roles=row.roles.split(),
            since=row.created and row.created.replace(tzinfo=UTC),
        )


class Async:
    """The same, asynchronous."""

    def __init__(self, host: Users) -> None:
        self.plain = Plain(host)

    async def find(self, login: str) -> DirectoryEntry | None:
        return self.plain.find(login)

    async def get(self, account_id: str) -> DirectoryEntry | None:
        return self.plain.get(account_id)


class Checking(Plain):
    """One that shows no hashes."""

    def find(self, login: str) -> DirectoryEntry | None:
        return self._without(super().find(login))

    def get(self, account_id: str) -> DirectoryEntry | None:
        return self._without(super().get(account_id))

    def check_password(self, entry: DirectoryEntry | None, password: str) -> bool:
        return entry is not None and password == PASSWORD

    def _without(self, entry: DirectoryEntry | None) -> DirectoryEntry | None:
        if entry is None:
            return None
        return DirectoryEntry(
            id=entry.id,
            username=entry.username,
            email=entry.email,
            disabled=entry.disabled,
            roles=entry.roles,
            since=entry.since,
        )


def over_a_table(host: Users) -> Directory:
    return SqlAlchemyDirectory(host.engine, users, COLUMNS)


def over_an_async_engine(host: Users) -> Directory:
    engine = create_async_engine(
        host.url.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=NullPool
    )
    return SqlAlchemyDirectory(engine, users, COLUMNS)


KINDS: dict[str, Callable[[Users], Directory]] = {
    "plain": Plain,
    "async": Async,
    "checking": Checking,
    "table": over_a_table,
    "async_table": over_an_async_engine,
}


@dataclass
class Host:
    """A running application of somebody's, with its own users."""

    house: House
    users: Users
    auth: Twinlock
    app: FastAPI
    client: TestClient = field(init=False)

    @property
    def runtime(self) -> Runtime:
        return self.auth.runtime

    @contextmanager
    def open(self) -> Iterator["Host"]:
        with TestClient(self.app, base_url=BASE_URL) as client:
            self.client = client
            yield self

    def enroll(self, username: str = "johndoe") -> tuple[FakeAuthenticator, dict[str, Any]]:
        headers = bearer(sign_in(self.client, username))
        begun = self.client.post("/api/factors/totp", json={}, headers=headers)
        assert begun.status_code == 200, begun.text
        phone = FakeAuthenticator.from_uri(begun.json()["options"]["uri"])
        confirmed = self.client.post(
            "/api/factors/totp/confirm",
            json={
                "enrollment": begun.json()["enrollment"],
                "answer": phone.code(self.house.now),
                "label": "Phone",
            },
            headers=headers,
        )
        assert confirmed.status_code == 201, confirmed.text
        self.house.clock.advance(seconds=30)
        body: dict[str, Any] = confirmed.json()
        return phone, body

    def refresh(self, tokens: dict[str, Any]) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        return self.client.post("/token", data=form)

    def me(self, tokens: dict[str, Any]) -> Any:
        return self.client.get("/users/me", headers=bearer(tokens))


def make_host(
    house: House, folder: Path, make: Callable[[Users], Directory], **settings: Any
) -> Host:
    """Return an application on an installation, and on a table of users of its own."""
    host_users = Users(folder)
    auth = Twinlock(house.settings, directory=make(host_users), clock=house.clock)
    app = FastAPI()
    auth.install(app)

    @app.get("/whoami")
    async def whoami(user: CurrentUser) -> dict[str, Any]:
        return {"host_id": user.host_id, "roles": sorted(user.roles), "email": user.email}

    return Host(house, host_users, auth, app)
