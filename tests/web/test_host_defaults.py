"""What a host sets for its whole application, and how it may run it, changes nothing of ours."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from fastapi.testclient import TestClient
from starlette.middleware.trustedhost import TrustedHostMiddleware

from tests.support.house import BASE_URL, PASSWORD, House, bearer
from twinlock import CurrentUser, NotInstalledError, Twinlock, require

FORM = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}


@pytest.fixture
def auth(sqlite_house: House) -> Iterator[Twinlock]:
    """An instance with an account."""
    with sqlite_house.open():
        sqlite_house.create()
    made = Twinlock(sqlite_house.settings, clock=sqlite_house.clock)
    yield made
    made.close()


class Elsewhere(APIRoute):
    """A host's own kind of route."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        async def broken(request: Request) -> Response:
            raise AssertionError("our routes are none of the host's")

        return broken


def route_of_its_own(app: FastAPI) -> None:
    app.router.route_class = Elsewhere


def trusted(app: FastAPI) -> None:
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost"])


def tenant(x_tenant: Annotated[str | None, Header()] = None) -> None: ...


@pytest.mark.parametrize(
    "options",
    [
        {"default_response_class": PlainTextResponse},
        {"default_response_class": HTMLResponse},
        {"generate_unique_id_function": lambda route: f"{route.tags[0]}-{route.name}"},
        {"generate_unique_id_function": lambda route: route.name},
        {"docs_url": None, "redoc_url": None, "openapi_url": None},
        {"redirect_slashes": False},
        {"strict_content_type": False},
        {"separate_input_output_schemas": False, "include_in_schema": False},
        {"dependencies": [Depends(tenant)], "responses": {418: {"description": "tea"}}},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("way", ["install", "router"])
def test_what_an_application_sets_for_its_routes_is_not_ours(
    auth: Twinlock, options: dict[str, Any], way: str
) -> None:
    app = FastAPI(**options)
    if way == "install":
        auth.install(app, prefix="/auth")
    else:
        app.include_router(auth.router(), prefix="/auth")

    with TestClient(app, base_url=BASE_URL) as client:
        is_whole(client, "/auth")
        app.openapi()  # a warning, as of a name that is there twice, would be an error here
        untyped = client.post(
            "/auth/api/login", content=b'{"username": "johndoe", "password": "x"}', headers={}
        )

    assert untyped.status_code == 422


@pytest.mark.parametrize("change", [route_of_its_own, trusted])
def test_what_a_host_does_to_its_application_is_not_ours(
    auth: Twinlock, change: Callable[[FastAPI], None]
) -> None:
    app = FastAPI()
    auth.install(app, prefix="/auth")
    change(app)

    with TestClient(app, base_url=BASE_URL) as client:
        is_whole(client, "/auth")


def is_whole(client: TestClient, prefix: str = "") -> dict[str, str]:
    """Sign in, and see that JSON, refusals and unknown paths come as they should."""
    signed_in = client.post(f"{prefix}/token", data=FORM)
    headers = bearer(signed_in.json())
    me = client.get(f"{prefix}/users/me", headers=headers)
    sessions = client.get(f"{prefix}/api/sessions", headers=headers)
    denied = client.post(f"{prefix}/api/login", json={"username": "johndoe", "password": "x"})

    assert signed_in.headers["content-type"] == "application/json"
    assert (me.status_code, me.json()["username"]) == (200, "johndoe")
    assert me.headers["content-type"] == "application/json"
    assert sessions.json()["sessions"][0]["current"] is True
    assert (denied.status_code, denied.json()["type"]) == (401, "login_denied")
    assert client.get(f"{prefix}/users/me/").status_code == 404
    return headers


def test_files_may_be_mounted_at_the_root(auth: Twinlock, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a page")
    app = FastAPI()
    auth.install(app)
    app.mount("/", StaticFiles(directory=tmp_path, html=True))

    with TestClient(app, base_url=BASE_URL) as client:
        is_whole(client)

        assert client.get("/").text == "a page"


def test_a_lifespan_set_later_takes_ours_away_and_nothing_else(auth: Twinlock) -> None:
    """The instance starts at the first request then; nobody closes it but the process."""
    seen = []

    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")

    app = FastAPI()
    auth.install(app)
    app.router.lifespan_context = mine

    with TestClient(app, base_url=BASE_URL) as client:
        is_whole(client)

    assert seen == ["up", "down"]


def test_without_a_lifespan_an_installed_instance_starts_by_itself(auth: Twinlock) -> None:
    app = FastAPI()
    auth.install(app)

    @app.get("/items")
    async def items(user: CurrentUser) -> str:
        return user.username

    client = TestClient(app, base_url=BASE_URL)

    assert client.get("/items").status_code == 401
    assert client.get("/items", headers=is_whole(client)).json() == "johndoe"


def test_without_a_lifespan_an_included_router_says_what_is_missing(auth: Twinlock) -> None:
    app = FastAPI()
    app.include_router(auth.router())

    @app.get("/items")
    async def items(user: CurrentUser) -> str:
        return user.username

    client = TestClient(app, base_url=BASE_URL)

    with pytest.raises(NotInstalledError, match="lifespan"):
        client.get("/items")


def test_one_instance_in_two_applications_serves_both(auth: Twinlock) -> None:
    """Whichever ends first takes the instance along, and the other starts it again."""
    one, other = FastAPI(), FastAPI()
    auth.install(one)
    auth.install(other)

    with TestClient(one, base_url=BASE_URL) as client:
        is_whole(client)
        with TestClient(other, base_url=BASE_URL) as beside:
            headers = is_whole(beside)
        assert client.get("/users/me", headers=headers).status_code == 200
        is_whole(client)


def test_an_openapi_function_set_later_still_points_to_the_token_endpoint(auth: Twinlock) -> None:
    """As FastAPI's own page on extending OpenAPI does it."""
    app = FastAPI()
    auth.install(app, prefix="/auth")

    @app.get("/items")
    async def items(user: CurrentUser) -> str:
        return user.username

    def described() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="Mine", version="1", routes=app.routes)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]

    with TestClient(app, base_url=BASE_URL):
        pass
    with TestClient(app, base_url=BASE_URL) as again:
        schema = again.get("/openapi.json").json()

    flow = schema["components"]["securitySchemes"]["Twinlock"]["flows"]["password"]
    assert (schema["info"]["title"], flow["tokenUrl"]) == ("Mine", "auth/token")


def test_authorize_of_a_mounted_application_leads_to_the_instance_around_it(
    auth: Twinlock, sqlite_house: House
) -> None:
    """Swagger UI resolves the URL against where the document is."""
    app, inner, deeper, own = FastAPI(), FastAPI(), FastAPI(), FastAPI()
    for one in (inner, deeper, own):

        @one.get("/items")
        async def items(user: CurrentUser) -> str:
            return user.username

    auth.install(app, prefix="/auth")
    own.include_router(Twinlock(sqlite_house.settings).router(), prefix="/own")
    app.mount("/a/b", inner)
    inner.mount("/{tenant}", deeper)
    app.mount("/other", own)

    with TestClient(app, base_url=BASE_URL) as client:
        told = {
            path: client.get(f"{path}/openapi.json").json()["components"]["securitySchemes"]
            for path in ("/a/b", "/a/b/t1", "/other")
        }

    assert {
        path: one["Twinlock"]["flows"]["password"]["tokenUrl"] for path, one in told.items()
    } == {
        "/a/b": "../../auth/token",
        "/a/b/t1": "../../../auth/token",
        "/other": "token",  # until its own instance starts
    }


def test_a_guard_over_a_whole_application_guards_our_routes_as_well(auth: Twinlock) -> None:
    """FastAPI's way; the page says to guard routers instead."""
    app = FastAPI(dependencies=[require()])
    auth.install(app)

    with TestClient(app, base_url=BASE_URL) as client:
        assert client.post("/token", data=FORM).status_code == 401


def test_a_router_with_prefix_and_dependencies_carries_ours_along(auth: Twinlock) -> None:
    seen = []
    outer = APIRouter(prefix="/v1", dependencies=[Depends(lambda: seen.append("asked"))])
    outer.include_router(auth.router(), prefix="/auth", tags=["sign-in"])
    app = FastAPI()
    app.include_router(outer)

    with TestClient(app, base_url=BASE_URL) as client:
        is_whole(client, "/v1/auth")

    assert seen


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("PUT", "/api/sessions", "DELETE, GET"),
        ("PUT", "/api/factors/recovery_codes", "DELETE, PATCH, POST"),
        ("GET", "/token", "POST"),
        ("DELETE", "/users/me", "GET"),
    ],
)
def test_a_refused_method_is_told_all_that_the_path_knows(
    auth: Twinlock, method: str, path: str, allowed: str
) -> None:
    """RFC 9110 section 15.5.6."""
    app = FastAPI()
    auth.install(app, prefix="/auth")

    with TestClient(app, base_url=BASE_URL) as client:
        answer = client.request(method, f"/auth{path}")

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["type"] == "method_not_allowed"


@pytest.mark.parametrize(
    "method, path",
    [("GET", "/users/me"), ("POST", "/api/logout"), ("POST", "/api/factors/recovery_codes")],
)
def test_a_body_of_unknown_length_has_its_limit_where_nothing_reads_it(
    auth: Twinlock, method: str, path: str
) -> None:
    def parts(count: int) -> Iterator[bytes]:
        yield from [b" " * 1024] * count

    app = FastAPI()
    auth.install(app)

    with TestClient(app, base_url=BASE_URL) as client:
        within, beyond = (client.request(method, path, content=parts(n)) for n in (64, 65))

    assert within.status_code == 401
    assert (beyond.status_code, beyond.json()["type"]) == (413, "body_too_large")
