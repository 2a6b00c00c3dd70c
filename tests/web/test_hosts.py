"""Routes of hosts, in every way that they are written: each gets its user, and nobody passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Annotated, Any, Generic, TypeVar

import pytest
from anyio.lowlevel import checkpoint
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from tests.support.house import BASE_URL, PASSWORD, House, bearer
from twinlock import (
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


@pytest.mark.parametrize("dependency", [Depends(), Depends(User)])
def test_no_query_can_be_a_user(dependency: Any) -> None:
    """FastAPI would fill in what a class is made from: such a route does not start."""
    app = FastAPI()

    async def forgotten(user: Any) -> None: ...

    forgotten.__annotations__["user"] = Annotated[User, dependency]

    with pytest.raises(TypeError, match="CurrentUser"):
        app.get("/forgotten")(forgotten)
