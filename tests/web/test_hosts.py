"""Applications of hosts as they are: whatever they do themselves goes on, and so do we."""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import pytest
from anyio.lowlevel import checkpoint
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from tests.support.house import BASE_URL, PASSWORD, House, bearer
from twinlock import (
    ConfigurationError,
    CurrentUser,
    GuardLayer,
    OptionalUser,
    Twinlock,
    User,
    require,
)

FORM = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
T = TypeVar("T")
GUARDED = ("/strong", "/staff/list", "/nested/deep")
strong = require(acr="aal2", max_age=timedelta(minutes=5))
Strong = Annotated[User, strong]


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


class Shelf(Generic[T]):
    """A generic dependency that is a class, as repositories and services are."""

    def __init__(self, user: CurrentUser, request: Request) -> None:
        self.owner = user.username
        self.path = request.url.path


class Books(Shelf[str]):
    """One that inherits what it asks for."""


def owner(user: CurrentUser) -> str:
    return user.username


def ways(told: list[str]) -> FastAPI:
    """Return an application with routes in every way that hosts write them."""
    app = FastAPI()
    staff = APIRouter(prefix="/staff", dependencies=[require(role="admin")])
    nested = APIRouter(dependencies=[strong])

    @app.get("/sync")
    def sync(user: CurrentUser) -> str:
        return user.username

    @app.get("/through")
    async def through(name: Annotated[str, Depends(owner)]) -> str:
        return name

    @app.get("/generic")
    async def generic(shelf: Annotated[Books, Depends()]) -> str:
        return shelf.owner

    @app.get("/background")
    async def background(user: CurrentUser, tasks: BackgroundTasks) -> str:
        tasks.add_task(told.append, user.username)
        return "later"

    @app.get("/stream")
    async def stream(user: CurrentUser) -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            for _ in range(3):
                await checkpoint()
                yield f"{user.username} "

        return StreamingResponse(words())

    @app.get("/maybe")
    def maybe(user: OptionalUser = None) -> str:
        return user.username if user else "nobody"

    @app.get("/strong")
    def only_strong(user: Strong) -> str:
        return user.username

    @staff.get("/list")
    async def listed() -> None: ...

    @nested.get("/deep")
    async def deep(user: CurrentUser) -> str:
        return user.username

    staff_of_all = APIRouter()
    staff_of_all.include_router(nested, prefix="/nested")
    app.include_router(staff)
    app.include_router(staff_of_all)
    return app


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def client(house: House, told: list[str]) -> Iterator[TestClient]:
    app = ways(told)
    instance(house).install(app, prefix="/auth")
    with TestClient(app, base_url=BASE_URL) as client:
        yield client


@pytest.mark.parametrize("path", ["/sync", "/through", "/generic", "/maybe"])
def test_a_route_gets_its_user_however_it_is_written(client: TestClient, path: str) -> None:
    assert client.get(path, headers=sign_in(client, "/auth")).json() == "johndoe"


@pytest.mark.parametrize(
    "path",
    [
        "/sync",
        "/through",
        "/generic",
        "/background",
        "/stream",
        "/strong",
        "/staff/list",
        "/nested/deep",
    ],
)
def test_nobody_gets_past_it(client: TestClient, told: list[str], path: str) -> None:
    assert client.get(path).status_code == 401
    assert told == []


def test_what_runs_behind_the_reply_has_the_user(client: TestClient, told: list[str]) -> None:
    headers = sign_in(client, "/auth")

    client.get("/background", headers=headers)

    assert told == ["johndoe"]
    assert client.get("/stream", headers=headers).text == "johndoe " * 3


def test_a_router_s_demand_holds_for_what_it_includes(client: TestClient) -> None:
    headers = sign_in(client, "/auth")

    assert client.get("/staff/list", headers=headers).status_code == 403
    challenge = client.get("/nested/deep", headers=headers)
    assert challenge.status_code == 401
    assert 'acr_values="aal2", max_age="300"' in challenge.headers["www-authenticate"]


def test_openapi_says_which_routes_need_a_user(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    for path in (
        "/sync",
        "/through",
        "/generic",
        "/maybe",
        "/strong",
        "/staff/list",
        "/nested/deep",
    ):
        assert paths[path]["get"]["security"] == [{"Twinlock": []}], path
    assert "user" not in str(paths["/sync"]["get"].get("parameters"))


@pytest.mark.parametrize("query", ["access_token={}", "x=1&access_token={}", "access%5Ftoken={}"])
@pytest.mark.parametrize("path", ["/sync", "/maybe", "/auth/users/me", "/auth/api/sessions"])
def test_a_token_in_the_url_is_refused_wherever_a_user_is_asked_for(
    client: TestClient, path: str, query: str
) -> None:
    """RFC 9700 section 4.3.2."""
    headers = sign_in(client, "/auth")
    token = headers["Authorization"].removeprefix("Bearer ")

    alone = client.get(f"{path}?{query.format(token)}")
    beside = client.get(f"{path}?{query.format(token)}", headers=headers)

    assert (alone.status_code, beside.status_code) == (400, 400)
    assert token not in alone.text


def test_a_query_of_the_host_s_own_is_no_credential(client: TestClient) -> None:
    headers = sign_in(client, "/auth")

    for query in ("sort=access_token_count", "q=access_token", "my_access_token=1"):
        assert client.get(f"/sync?{query}", headers=headers).status_code == 200, query


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
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("uvicorn").level)
    ours = logging.getLogger("twinlock")
    app = FastAPI()
    instance(house).install(app)

    with TestClient(app, base_url=BASE_URL) as client:
        sign_in(client)

    assert (list(root.handlers), root.level, logging.getLogger("uvicorn").level) == before
    assert (ours.handlers, ours.level, ours.propagate) == ([], logging.NOTSET, True)


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


def test_a_layer_takes_what_require_returns(house: House) -> None:
    app, inner = FastAPI(), FastAPI()
    instance(house).install(app)

    @inner.get("/who")
    async def who(user: CurrentUser) -> str:
        return user.username

    app.mount("/signed-in", GuardLayer(inner))
    app.mount("/strong", GuardLayer(inner, demand=strong))
    app.mount("/admin", GuardLayer(inner, demand=require(role="admin")))

    with TestClient(app, base_url=BASE_URL) as client:
        headers = sign_in(client)

        assert client.get("/signed-in/who", headers=headers).json() == "johndoe"
        assert client.get("/strong/who", headers=headers).status_code == 401
        assert client.get("/admin/who", headers=headers).status_code == 403
        assert client.get("/signed-in/who").status_code == 401
    wrong: Any = "admin"
    with pytest.raises(TypeError, match="require"):
        GuardLayer(inner, demand=wrong)


def test_an_application_on_another_port_is_told_where_it_should_be(house: House) -> None:
    app = FastAPI()
    instance(house).install(app)

    with TestClient(app, base_url="http://localhost:9000") as client:
        answer = client.post("/token", data=FORM, headers={"Origin": "http://localhost:9000"})

    assert answer.status_code == 403
    assert BASE_URL in answer.json()["error_description"]


def test_no_request_can_be_a_user(house: House) -> None:
    """``user: User`` is a body to FastAPI: who forgot the guard has no open door."""
    app = FastAPI()
    instance(house).install(app)

    @app.post("/forgotten")
    async def forgotten(user: User) -> str:
        raise AssertionError("nobody gets here")

    @app.post("/optional")
    async def optional(user: User | None = None) -> str:
        return user.username if user else "nobody"

    @app.get("/whole")
    async def whole(user: CurrentUser) -> User:
        return user

    with TestClient(app, base_url=BASE_URL) as client:
        told = client.get("/whole", headers=sign_in(client)).json()
        claimed = {**told, "username": "admin", "roles": ["admin"], "acr": "phr"}
        refused = client.post("/forgotten", json=claimed)

        assert (refused.status_code, client.post("/optional", json=claimed).status_code) == (
            422,
            422,
        )
        assert "CurrentUser" in refused.json()["detail"][0]["msg"]
        assert client.post("/optional").json() == "nobody"
        schema = client.get("/openapi.json").json()["components"]["schemas"]["User"]
    assert told["username"] == "johndoe"
    assert set(schema["properties"]) == set(told)


def test_a_strength_that_is_none_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="aal1, aal2, phr; not 'high'"):
        require(acr="high")
