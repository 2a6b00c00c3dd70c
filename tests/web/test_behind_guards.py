"""Guards behind a layer, and what memory must not let through."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from tests.support.house import BASE_URL, House, bearer, sign_in
from twinlock import CurrentUser, Twinlock, require
from twinlock.core.proof import Acr
from twinlock.db.engine import Database
from twinlock.migrations.run import upgrade
from twinlock.web.cookies import SESSION
from twinlock.web.demand import Demand
from twinlock.web.layer import ForwardAuth, GuardLayer


async def names_its_user(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the user, without any framework."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    name = scope["twinlock.user"].username.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": name})


inside = FastAPI()


@inside.get("/me")
async def me(user: CurrentUser, request: Request) -> dict[str, object]:
    return {"name": user.username, "is_same": request.scope["twinlock.user"] is user}


@inside.get("/strong", dependencies=[require(acr="aal2")])
async def strong() -> str:
    return "strong"


def app_of(auth: Twinlock, other: Twinlock | None = None) -> FastAPI:
    app = FastAPI()
    app.mount("/plain", GuardLayer(names_its_user))
    app.mount("/strong", GuardLayer(names_its_user, demand=Demand(acr=Acr.AAL2)))
    app.mount("/inside", GuardLayer(inside))
    if other is not None:
        app.mount("/other", GuardLayer(GuardLayer(names_its_user, other), auth))
    auth.install(app)
    app.add_middleware(ForwardAuth, instance=auth)
    return app


@pytest.fixture
def auth(sqlite_house: House) -> Twinlock:
    return Twinlock(sqlite_house.settings, clock=sqlite_house.clock)


@pytest.fixture
def guarded(sqlite_house: House, auth: Twinlock) -> Iterator[TestClient]:
    """A client of an application with guarded ones mounted in it."""
    sqlite_house.app = app_of(auth)
    with TestClient(sqlite_house.app, base_url=BASE_URL) as client:
        sqlite_house.app.state.twinlock = auth
        sqlite_house.create()
        yield client


@pytest.fixture
def headers(guarded: TestClient) -> dict[str, str]:
    return bearer(sign_in(guarded))


def test_only_the_signed_in_get_through(guarded: TestClient, headers: dict[str, str]) -> None:
    nobody = guarded.get("/plain/")
    forged = guarded.get("/plain/", headers={"Authorization": "Bearer a.b.c"})

    assert guarded.get("/plain/", headers=headers).text == "johndoe"
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert forged.status_code == 401
    assert nobody.headers["content-type"] == "application/problem+json"


def test_a_demand_is_the_dependencys(guarded: TestClient, headers: dict[str, str]) -> None:
    """RFC 9470 section 3."""
    answer = guarded.get("/strong/", headers=headers)

    assert answer.status_code == 401
    assert 'acr_values="aal2"' in answer.headers["www-authenticate"]


def test_a_guard_behind_finds_the_user_and_may_ask_for_more(
    guarded: TestClient, headers: dict[str, str]
) -> None:
    assert guarded.get("/inside/me", headers=headers).json() == {
        "name": "johndoe",
        "is_same": True,
    }
    assert guarded.get("/inside/strong", headers=headers).status_code == 401


def test_a_revoked_token_gets_through_no_more(guarded: TestClient, headers: dict[str, str]) -> None:
    assert guarded.get("/plain/", headers=headers).status_code == 200

    assert guarded.post("/api/logout", headers=headers).status_code == 204

    assert guarded.get("/plain/", headers=headers).status_code == 401
    assert guarded.get("/inside/me", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/plain/", "/inside/me", "/forward-auth"])
def test_two_credentials_and_one_in_the_url_are_refused(
    guarded: TestClient, headers: dict[str, str], path: str
) -> None:
    guarded.get(path, headers=headers)  # known from now on
    both = guarded.get(path, headers={**headers, "Cookie": f"{SESSION}=x"})
    twice = guarded.get(path, headers=[*headers.items(), *headers.items()])
    in_url = guarded.get(path + "?access_token=x", headers=headers)

    assert (both.status_code, twice.status_code, in_url.status_code) == (400, 400, 400)


def test_a_websocket_of_nobodys_is_closed(guarded: TestClient, headers: dict[str, str]) -> None:
    with guarded.websocket_connect("/plain/", headers=headers):
        pass
    with pytest.raises(WebSocketDisconnect) as closed, guarded.websocket_connect("/plain/"):
        pass

    assert closed.value.code == 1008


def test_the_users_of_one_installation_are_nobody_to_another(
    sqlite_house: House, auth: Twinlock, tmp_path: Path
) -> None:
    """Also where one is mounted inside the other, behind a layer that let them pass."""
    url = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    upgrade(Database(url))
    other = House(tmp_path / "other", url)
    elsewhere = Twinlock(other.settings, clock=other.clock)
    sqlite_house.app = app_of(auth, elsewhere)
    with TestClient(sqlite_house.app, base_url=BASE_URL) as client:
        sqlite_house.app.state.twinlock = auth
        sqlite_house.create()
        headers = bearer(sign_in(client))

        answer = client.get("/other/", headers=headers)

    elsewhere.close()
    assert answer.status_code == 401


async def test_a_proxy_is_told_names_in_utf_8(sqlite_house: House, guarded: TestClient) -> None:
    """Sent to the application itself: the test client reads headers in ASCII only."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    sqlite_house.create("zoe", roles=("staff", "admin"), full_name="Zoë Doe")
    headers = bearer(sign_in(guarded, "zoe"))
    raw = [(b"authorization", headers["Authorization"].encode())]
    scope: Scope = {"type": "http", "method": "GET", "path": "/forward-auth"}
    await sqlite_house.app({**scope, "query_string": b"", "headers": raw}, receive, send)

    assert sent[0]["status"] == 204
    told = dict(sent[0]["headers"])
    assert told[b"remote-name"].decode() == "Zoë Doe"
    assert told[b"remote-groups"] == b"admin,staff"
    assert told[b"remote-acr"] == b"aal1"


def test_a_proxy_is_told_to_refuse(guarded: TestClient) -> None:
    answer = guarded.get("/forward-auth", headers={"Remote-User": "johndoe"})

    assert answer.status_code == 401
    assert "remote-user" not in answer.headers
