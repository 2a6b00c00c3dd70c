"""Whole applications of hosts: handlers, middleware, lifespan, prefixes, mounts, proxies."""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from tests.support.house import BASE_URL, PASSWORD, House, bearer
from twinlock import (
    ConfigurationError,
    CurrentUser,
    Twinlock,
)

FORM = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}


def instance(house: House) -> Twinlock:
    return Twinlock(house.settings, clock=house.clock)


@pytest.fixture
def house(sqlite_house: House) -> House:
    """An installation with an account."""
    with sqlite_house.open():
        sqlite_house.create()
    return sqlite_house


@pytest.fixture
def other_house(tmp_path: Path, migrated_sqlite: Path) -> House:
    """Another installation, with an account of the same name."""
    path = tmp_path / "other.sqlite3"
    shutil.copyfile(migrated_sqlite, path)
    other = House(tmp_path / "other", f"sqlite:///{path}")
    with other.open():
        other.create()
    return other


def sign_in(client: TestClient, prefix: str = "") -> dict[str, str]:
    answer = client.post(f"{prefix}/token", data=FORM)
    assert answer.status_code == 200, answer.text
    return bearer(answer.json())


def refuse(app: FastAPI) -> None:
    """Give an application handlers of its own for whatever goes wrong."""

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"host": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"host": [one["input"] for one in error.errors()]}, 422)

    @app.exception_handler(Exception)
    async def on_any(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"host": "broken"}, 500)


def test_a_host_s_handlers_answer_for_its_routes_and_ours_for_ours(house: House) -> None:
    app = FastAPI()
    refuse(app)
    instance(house).install(app)
    refuse(app)

    @app.get("/items/{item}")
    async def items(item: int, user: CurrentUser) -> None:
        raise LookupError

    with TestClient(app, base_url=BASE_URL, raise_server_exceptions=False) as client:
        headers = sign_in(client)
        nobody = client.get("/items/1")
        wrong = client.get("/items/x", headers=headers)
        broken = client.get("/items/1", headers=headers)
        ours = client.post("/api/login", json={"username": 1, "password": "tell nobody"})
        unsigned = client.get("/api/sessions")

    assert (nobody.status_code, nobody.json()) == (401, {"host": "Not authenticated"})
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert (wrong.json(), broken.json()) == ({"host": ["x"]}, {"host": "broken"})
    assert (ours.status_code, ours.json()["type"]) == (422, "invalid_request")
    assert "tell nobody" not in ours.text
    assert unsigned.json()["type"] == "not_authenticated"


def test_a_host_s_middleware_sees_our_routes_and_breaks_none(house: House) -> None:
    seen: list[str] = []

    async def note(request: Request, call_next: Callable[[Request], Any]) -> Any:
        answer = await call_next(request)
        seen.append(f"{request.url.path} {answer.status_code}")
        answer.headers["x-host"] = "here"
        return answer

    app = FastAPI()
    app.add_middleware(BaseHTTPMiddleware, dispatch=note)
    instance(house).install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(CORSMiddleware, allow_origins=["https://other.example"])

    @app.get("/items")
    async def items(user: CurrentUser) -> str:
        return user.username

    with TestClient(app, base_url=BASE_URL) as client:
        headers = sign_in(client)
        answer = client.get("/items", headers={**headers, "Origin": "https://other.example"})
        foreign = {"Origin": "https://other.example"}
        elsewhere = client.post("/api/login", json={}, headers=foreign)

    assert answer.json() == "johndoe"
    assert answer.headers["x-host"] == "here"
    assert answer.headers["access-control-allow-origin"] == "https://other.example"
    assert elsewhere.status_code in {403, 422}
    assert seen[:2] == ["/token 200", "/items 200"]


@pytest.mark.parametrize("way", ["install", "router"])
def test_a_host_s_lifespan_runs_once_beside_ours(house: House, way: str) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append("up")
        yield {"colour": "red"}
        seen.append("down")

    app = FastAPI(lifespan=lifespan)
    auth = instance(house)
    if way == "install":
        auth.install(app)
    else:
        app.include_router(auth.router())

    @app.get("/state")
    async def state(request: Request, user: CurrentUser) -> str:
        return str(request.state.colour)

    with TestClient(app, base_url=BASE_URL) as client:
        assert client.get("/state", headers=sign_in(client)).json() == "red"

    assert seen == ["up", "down"]


def test_a_host_s_logging_is_left_as_it_is(house: House) -> None:
    loggers = [logging.getLogger(name) for name in (None, "uvicorn", "twinlock")]

    def state() -> list[tuple[object, ...]]:
        return [(list(one.handlers), one.level, one.propagate) for one in loggers]

    before = state()
    app = FastAPI()
    instance(house).install(app)
    with TestClient(app, base_url=BASE_URL) as client:
        sign_in(client)

    assert state() == before


@pytest.mark.parametrize("prefix", ["", "/auth", "/a/b/c", "/über", "/api", "/token"])
def test_any_prefix_moves_everything(house: House, prefix: str) -> None:
    app = FastAPI()
    instance(house).install(app, prefix=prefix)

    with TestClient(app, base_url=BASE_URL) as client:
        headers = sign_in(client, prefix)
        schemes = client.get("/openapi.json").json()["components"]["securitySchemes"]

        assert client.get(f"{prefix}/api/sessions", headers=headers).status_code == 200
        assert client.get(f"{prefix}/users/me/", headers=headers).status_code == 404
        metadata = client.get(f"{prefix}/.well-known/oauth-authorization-server").json()
    assert schemes["Twinlock"]["flows"]["password"]["tokenUrl"] == f"{prefix}/token".lstrip("/")
    assert metadata["token_endpoint"] == f"{BASE_URL}{prefix}/token"


@pytest.mark.parametrize("prefix", ["auth", "/auth/", "/"])
def test_a_prefix_that_is_none_is_refused_at_once(house: House, prefix: str) -> None:
    with pytest.raises((ValueError, AssertionError, ConfigurationError), match="prefix"):
        instance(house).install(FastAPI(), prefix=prefix)


def test_one_router_at_two_places_works_at_both(house: House) -> None:
    app = FastAPI()
    auth = instance(house)
    app.include_router(auth.router(), prefix="/a")
    app.include_router(auth.router(), prefix="/b")

    with TestClient(app, base_url=BASE_URL) as client:
        headers = sign_in(client, "/b")

        assert client.get("/a/users/me", headers=headers).status_code == 200


def test_a_second_instance_in_one_application_is_refused(house: House, other_house: House) -> None:
    app = FastAPI()
    instance(house).install(app, prefix="/a")

    with pytest.raises(ConfigurationError, match="mount"):
        instance(other_house).install(app, prefix="/b")


def test_one_instance_installed_twice_works_under_both_prefixes(house: House) -> None:
    app = FastAPI()
    auth = instance(house)
    auth.install(app, prefix="/a")
    auth.install(app, prefix="/b")

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept()
        await websocket.send_text(user.username)

    with TestClient(app, base_url=BASE_URL) as client:
        headers = sign_in(client, "/a")

        assert client.get("/b/users/me", headers=headers).status_code == 200
        with client.websocket_connect("/ws", headers=headers) as socket:
            assert socket.receive_text() == "johndoe"
    assert len(app.user_middleware) == 1


@pytest.mark.parametrize("first", ["install", "router"])
@pytest.mark.parametrize("prefix", ["", "/other"])
def test_a_second_instances_router_stops_the_start(
    house: House, other_house: House, first: str, prefix: str
) -> None:
    """Two routes for one path, or tokens of one instance where the other looks for its own."""
    app = FastAPI()
    if first == "install":
        instance(house).install(app)
    else:
        app.include_router(instance(house).router())
    app.include_router(instance(other_house).router(), prefix=prefix)

    with pytest.raises(ConfigurationError, match="mount"), TestClient(app):
        pass


def test_a_second_instance_is_refused_behind_a_router_as_well(
    house: House, other_house: House
) -> None:
    app = FastAPI()
    app.include_router(instance(house).router(), prefix="/a")
    instance(other_house).install(app, prefix="/b")

    with pytest.raises(ConfigurationError, match="mount"), TestClient(app):
        pass


def test_mounted_applications_find_the_nearest_instance(house: House, other_house: House) -> None:
    outer, own, plain = FastAPI(), FastAPI(), FastAPI()
    auth, inner = instance(house), instance(other_house)
    auth.install(outer)
    inner.install(own)
    for app in (outer, own, plain):

        @app.get("/who")
        async def who(user: CurrentUser) -> str:
            return user.id

    outer.mount("/own", own)
    outer.mount("/plain", plain)
    own.mount("/deeper", plain)

    with TestClient(outer, base_url=BASE_URL) as client:
        here, there = sign_in(client), sign_in(client, "/own")
        mine = client.get("/who", headers=here).json()

        assert client.get("/plain/who", headers=here).json() == mine
        assert client.get("/own/who", headers=there).json() != mine
        assert client.get("/own/deeper/who", headers=there).status_code == 200
        for path in ("/own/who", "/own/deeper/who"):
            assert client.get(path, headers=here).status_code == 401
        for path in ("/who", "/plain/who"):
            assert client.get(path, headers=there).status_code == 401
    inner.close()


def test_behind_a_proxy_that_strips_a_path(house: House) -> None:
    app = FastAPI()
    instance(house).install(app, prefix="/auth")

    @app.get("/items")
    async def items(user: CurrentUser) -> str:
        return user.username

    with TestClient(app, base_url=BASE_URL, root_path="/shop") as client:
        headers = sign_in(client, "/auth")
        schema = client.get("/openapi.json").json()

        assert client.get("/items", headers=headers).json() == "johndoe"
        assert client.get("/shop/items", headers=headers).json() == "johndoe"
        assert client.get("/auth/users/me/", headers=headers).status_code == 404
    assert schema["servers"] == [{"url": "/shop"}]
    token_url = schema["components"]["securitySchemes"]["Twinlock"]["flows"]["password"]["tokenUrl"]
    assert token_url == "auth/token"


def test_an_application_on_another_port_is_told_where_it_should_be(house: House) -> None:
    app = FastAPI()
    instance(house).install(app)

    with TestClient(app, base_url="http://localhost:9000") as client:
        answer = client.post("/token", data=FORM, headers={"Origin": "http://localhost:9000"})

    assert answer.status_code == 403
    assert BASE_URL in answer.json()["error_description"]


def test_production_says_which_host_it_serves(house: House) -> None:
    app = FastAPI()
    settings = house.settings.model_copy(update={"environment": "production"})
    Twinlock(settings, clock=house.clock).install(app)

    with TestClient(app, base_url="http://localhost:8123") as client:
        answer = client.post("/api/login", json={"username": "johndoe", "password": PASSWORD})

    assert (answer.status_code, answer.json()["type"]) == (400, "wrong_host")
    assert BASE_URL in answer.json()["detail"]


def test_production_serves_nobody_who_names_two_hosts(house: House) -> None:
    """A proxy may believe the one and we the other (RFC 9112 section 3.2)."""
    app = FastAPI()
    settings = house.settings.model_copy(update={"environment": "production"})
    Twinlock(settings, clock=house.clock).install(app)
    own = BASE_URL.removeprefix("https://")

    with TestClient(app, base_url=BASE_URL) as client:
        for second in (own, "evil.example"):
            both = [("Host", own), ("Host", second)]
            answer = client.post("/token", data=FORM, headers=both)
            assert answer.status_code == 400
            assert "not served here" in answer.json()["error_description"]
