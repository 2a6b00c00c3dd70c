"""The guard in front of whole applications, and for reverse proxies."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from tests.support.house import BASE_URL, PASSWORD, House, bearer, sign_in
from twinlock import Twinlock
from twinlock.web.credentials import USER_KEY
from twinlock.web.layer import ForwardAuth, GuardLayer

EVIL = {"Origin": "https://evil.example"}
OWN = {"Origin": BASE_URL}


async def whoever(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the name of the user whom the layer let pass."""
    body = scope[USER_KEY].username.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def client(sqlite_house: House) -> Iterator[TestClient]:
    """A host with a guarded application under /inner, asked by a proxy at /forward-auth."""
    auth = Twinlock(sqlite_house.settings, clock=sqlite_house.clock)
    app = FastAPI()
    app.state.twinlock = auth
    auth.install(app)
    app.mount("/inner", GuardLayer(whoever))
    app.add_middleware(ForwardAuth, instance=auth)
    sqlite_house.app = app
    with TestClient(app, base_url=BASE_URL) as opened:
        sqlite_house.create()
        yield opened


@pytest.fixture
def cookie(client: TestClient) -> dict[str, str]:
    """The header that a signed-in browser sends by itself."""
    body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
    signed_in = client.post("/api/login", json=body, headers=OWN)
    pairs = [one.partition(";")[0] for one in signed_in.headers.get_list("set-cookie")]
    return {"Cookie": "; ".join(pairs)}


def test_an_application_behind_the_layer_sees_only_users(
    client: TestClient, cookie: dict[str, str]
) -> None:
    by_token = client.get("/inner/", headers=bearer(sign_in(client)))

    assert client.get("/inner/").status_code == 401
    assert by_token.text == "johndoe"
    assert client.get("/inner/", headers=cookie).text == "johndoe"
    assert client.post("/inner/", headers=cookie | OWN).status_code == 403  # no CSRF token


def test_a_proxy_is_told_who_asks(client: TestClient, cookie: dict[str, str]) -> None:
    told = client.get("/forward-auth", headers=cookie)

    assert (told.status_code, told.headers["remote-user"]) == (204, "johndoe")
    assert client.get("/forward-auth").status_code == 401


@pytest.mark.parametrize(
    "says, status",
    [
        ({"X-Forwarded-Method": "GET"}, 204),
        ({"X-Forwarded-Method": "GET"} | EVIL, 204),
        ({"X-Forwarded-Method": "POST"}, 403),
        ({"X-Forwarded-Method": "POST"} | OWN, 204),
        ({"X-Forwarded-Method": "POST"} | EVIL, 403),
        ({"X-Original-Method": "DELETE"} | EVIL, 403),
        ({"X-Forwarded-Method": "POST", "Authorization": "Basic eDp5"} | EVIL, 403),
        (OWN, 204),  # nginx tells no method unless it is made to
        (EVIL, 403),
    ],
)
def test_a_proxy_lets_no_other_site_use_the_cookie(
    client: TestClient, cookie: dict[str, str], says: dict[str, str], status: int
) -> None:
    assert client.get("/forward-auth", headers=cookie | says).status_code == status


def test_a_token_needs_no_origin(client: TestClient) -> None:
    headers = bearer(sign_in(client)) | EVIL | {"X-Forwarded-Method": "POST"}

    assert client.get("/forward-auth", headers=headers).status_code == 204
