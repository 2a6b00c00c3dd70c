"""An application that includes our routes itself."""

import os
import subprocess
import sys

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.support.house import BASE_URL, PASSWORD, House, bearer
from twinlock import CurrentUser, Twinlock

FORM = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}


@pytest.fixture(params=["", "/auth", "/v1/auth"])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(sqlite_house: House, prefix: str) -> FastAPI:
    with sqlite_house.open():
        sqlite_house.create()
    auth = Twinlock(sqlite_house.settings, clock=sqlite_house.clock)
    app = FastAPI()

    @app.get("/items")
    async def items(user: CurrentUser) -> str:
        return user.username

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept()
        await websocket.send_text(user.username)

    included = APIRouter(prefix="/v1" if prefix.startswith("/v1") else "")
    included.include_router(auth.router(), prefix=prefix.removeprefix("/v1"))
    app.include_router(included)
    return app


def test_its_own_routes_find_their_users(app: FastAPI, prefix: str) -> None:
    with TestClient(app, base_url=BASE_URL) as client:
        signed_in = client.post(f"{prefix}/token", data=FORM)
        headers = bearer(signed_in.json())

        assert client.get("/items", headers=headers).json() == "johndoe"
        assert client.get("/items").status_code == 401
        assert client.get(f"{prefix}/users/me", headers=headers).status_code == 200
        with client.websocket_connect("/ws", headers=headers) as socket:
            assert socket.receive_text() == "johndoe"
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws"):
            pass


def test_authorize_and_the_metadata_know_the_prefix(app: FastAPI, prefix: str) -> None:
    with TestClient(app, base_url=BASE_URL) as client:
        schemes = client.get("/openapi.json").json()["components"]["securitySchemes"]
        metadata = client.get(f"{prefix}/.well-known/oauth-authorization-server").json()

    assert schemes["Twinlock"]["flows"]["password"]["tokenUrl"] == f"{prefix}/token".lstrip("/")
    assert metadata["token_endpoint"] == f"{BASE_URL}{prefix}/token"


def test_it_starts_again(app: FastAPI, prefix: str) -> None:
    for _ in range(2):
        with TestClient(app, base_url=BASE_URL) as client:
            tokens = client.post(f"{prefix}/token", data=FORM).json()

            assert client.get("/items", headers=bearer(tokens)).status_code == 200


def test_a_mounted_application_is_given_to_the_lifespan(sqlite_house: House) -> None:
    with sqlite_house.open():
        sqlite_house.create()
    auth = Twinlock(sqlite_house.settings, clock=sqlite_house.clock)
    inner, outer = FastAPI(), FastAPI(lifespan=lambda _: auth.lifespan(inner))
    inner.include_router(auth.router())

    @inner.get("/items")
    async def items(user: CurrentUser) -> str:
        return user.username

    outer.mount("/inner", inner)

    with TestClient(outer, base_url=BASE_URL) as client:
        tokens = client.post("/inner/token", data=FORM).json()

        assert client.get("/inner/items", headers=bearer(tokens)).json() == "johndoe"


def test_importing_an_application_loads_no_database() -> None:
    """Whoever only imports it, as a command of the host's does, pays for none of it."""
    program = """
import os, sys
from fastapi import FastAPI
from twinlock import CurrentUser, Twinlock
app = FastAPI()
Twinlock().install(app)
heavy = {"sqlalchemy", "joserfc", "alembic", "twinlock.composition", "twinlock.api.login"}
print(sorted(heavy & set(sys.modules)))
print("/token" in app.openapi()["paths"], "/api/login" in app.openapi()["paths"])
"""

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "TWINLOCK_ENVIRONMENT": "development"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["[]", "True True"]


def test_a_started_application_on_sqlite_loads_nothing_that_it_does_not_use(
    sqlite_house: House,
) -> None:
    """One index that named PostgreSQL loaded the dialects of all its drivers (2 MiB)."""
    program = """
import os, sys
from pathlib import Path
from fastapi import FastAPI
from twinlock import Settings, Twinlock
folder, url = sys.argv[1:]
auth = Twinlock(Settings(environment="development", data_dir=Path(folder), database_url=url))
auth.install(FastAPI())
auth.start()
heavy = ("sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "psycopg", "alembic", "jinja2",
         "email.policy", "urllib.request", "tomllib", "difflib")
print(sorted(set(heavy) & set(sys.modules)))
auth.close()
"""

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            str(sqlite_house.settings.data_dir),
            str(sqlite_house.settings.database_url),
        ],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.stderr) == ("[]", "")
