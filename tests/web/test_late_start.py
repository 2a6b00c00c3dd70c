"""A server that starts while its database is away refuses, and serves by itself later."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from sqlalchemy import Connection
from starlette.websockets import WebSocketDisconnect

from tests.support.house import PASSWORD, House, bearer, sign_in
from tests.support.postgres import DURABLE, PostgresServer
from twinlock import CurrentUser, GuardLayer
from twinlock.app import Twinlock
from twinlock.core.errors import DatabaseUnavailableError
from twinlock.testing.installation import migrate

SECONDS = 10.0


@pytest.fixture
def broken(sqlite_house: House, tmp_path: Path) -> Callable[[], None]:
    """Puts the file of `sqlite_house`, which is none of SQLite's now, back in its place."""
    path, kept = tmp_path / "twinlock.sqlite3", tmp_path / "kept"
    with sqlite_house.open():
        sqlite_house.create()
    path.rename(kept)
    path.write_bytes(b"no database at all " * 400)
    for rest in tmp_path.glob("twinlock.sqlite3-[ws]*"):
        if not rest.name.endswith("-writer"):
            rest.unlink()

    def mend() -> None:
        kept.replace(path)

    return mend


@contextlib.contextmanager
def unwritable(house: House) -> Iterator[None]:
    """Let nobody write: as a replica refuses to, or because somebody else holds the file."""
    database, name = house.database, house.database.url.database
    if database.is_sqlite:
        with contextlib.closing(sqlite3.connect(str(name), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        other.exec_driver_sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        _end_others(other)
        try:
            yield
        finally:
            other.exec_driver_sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
            _end_others(other)


def _end_others(connection: Connection) -> None:
    """End the connections that were told otherwise at their start."""
    connection.exec_driver_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def wait_until_ready(client: TestClient) -> None:
    until = time.monotonic() + SECONDS
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < until, "it did not start by itself"


def test_it_answers_503_until_the_database_is_back_and_then_serves(
    sqlite_house: House, broken: Callable[[], None]
) -> None:
    with sqlite_house.open() as client:
        alive = client.get("/healthz")
        ready = client.get("/readyz")
        me = client.get("/users/me", headers={"Authorization": "Bearer x"})
        page = client.get("/login", headers={"Accept": "text/html"})
        login = client.post("/api/login", json={"username": "johndoe", "password": PASSWORD})

        broken()
        wait_until_ready(client)
        tokens = sign_in(client)

        assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
        assert ready.status_code == 503
        assert ready.json() == {"status": "not_ready", "database": "failed", "keys": "failed"}
        assert (me.status_code, login.status_code, page.status_code) == (503, 503, 503)
        assert me.headers["Retry-After"]
        assert login.json()["type"] == "unavailable"
        assert page.headers["content-type"].startswith("text/html")
        assert client.get("/users/me", headers=bearer(tokens)).status_code == 200


def test_a_hosts_routes_are_refused_only_where_they_are_guarded(
    sqlite_house: House, broken: Callable[[], None]
) -> None:
    auth = Twinlock(sqlite_house.settings, clock=sqlite_house.clock)
    app = FastAPI()
    auth.install(app)

    @app.get("/open")
    async def everybody() -> str:
        return "open"

    @app.get("/guarded")
    async def somebody(user: CurrentUser) -> str:
        return user.username

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept()

    app.mount("/behind", GuardLayer(FastAPI(), auth))

    with TestClient(app) as client:
        statuses = [client.get(path).status_code for path in ("/open", "/guarded", "/behind/x")]
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            client.websocket_connect("/socket", headers={"Authorization": "Bearer x"}),
        ):
            pass
        with pytest.raises(DatabaseUnavailableError):
            _ = auth.runtime
        broken()
        wait_until_ready(client)
        later = [client.get(path).status_code for path in ("/open", "/guarded", "/behind/x")]

    assert statuses == [200, 503, 503]
    assert closed.value.code == 1013
    assert later == [200, 401, 401]


def test_it_ends_while_it_waits(sqlite_house: House, broken: Callable[[], None]) -> None:
    with sqlite_house.open() as client:
        assert client.get("/readyz").status_code == 503
    broken()

    with sqlite_house.open() as client:
        assert client.get("/readyz").status_code == 200


def test_a_file_that_is_not_there_is_not_waited_for(sqlite_house: House, tmp_path: Path) -> None:
    """Nobody will bring it back: `twinlock init` makes one."""
    nowhere = sqlite_house.again(database_url=f"sqlite:///{tmp_path / 'nowhere' / 'a.sqlite3'}")

    with pytest.raises(DatabaseUnavailableError), nowhere.open():
        pass


@pytest.mark.postgres
def test_a_server_that_comes_up_before_postgresql_waits_for_it(tmp_path: Path) -> None:
    server = PostgresServer(options=DURABLE)
    try:
        server.start()
        url = server.url(server.create_database())
        migrate(url)
        house = House(tmp_path / "data", url)
        server.halt()

        with house.open() as client:
            away = client.get("/readyz").status_code
            server.resume()
            wait_until_ready(client)
            house.create()
            tokens = sign_in(client)

        assert away == 503
        assert tokens["access_token"]
    finally:
        server.stop()


def test_a_database_that_takes_no_writes_is_not_ready(house: House) -> None:
    """Each try is counted before it is looked at: nobody could sign in."""
    with house.open() as client:
        house.create()
        tokens = sign_in(client)
        before = client.get("/readyz").status_code
        with unwritable(house):
            ready = client.get("/readyz")
            me = client.get("/users/me", headers=bearer(tokens)).status_code
        after = client.get("/readyz").status_code

    assert (before, ready.status_code, me, after) == (200, 503, 200, 200)
    assert ready.json()["database"] == "failed"
