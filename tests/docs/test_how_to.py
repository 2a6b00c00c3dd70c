"""The code of the how-to pages is driven: each page's application is asked what the page says.

What a page calls the reader's own stands in modules named as there (`myapp`, `app`).
"""

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from starlette.websockets import WebSocketDisconnect

from tests.docs.pages import BASE_URL, PASSWORD, Provide, enroll, run
from tests.support.house import bearer
from twinlock import CurrentUser, Twinlock
from twinlock.core.principal import ADMIN
from twinlock.testing import CreateUser, Instances, LoginAs, MovableClock

pytestmark = pytest.mark.usefixtures("_development")


def test_protect_a_route(twinlock_auth: Instances, login_as: LoginAs) -> None:
    admin_app = FastAPI()

    @admin_app.get("/")
    def nobody_knows() -> str:
        return "secret"

    page = run("protect-a-route", given={"admin_app": admin_app})
    app: FastAPI = page["app"]
    staff: APIRouter = page["staff"]

    @staff.get("/")
    def read() -> str:
        return "for staff"

    app.include_router(staff)
    twinlock_auth(page["auth"])

    with TestClient(app, base_url=BASE_URL) as client:
        alice = login_as("alice")
        editor = login_as("erin", scope=["items:write"])
        assert client.get("/items", headers=alice).json() == "alice"
        assert client.get("/hello").json() == "Hello, stranger"
        assert client.get("/hello", headers={"Authorization": "Bearer no"}).status_code == 401
        assert client.delete("/items/1", headers=editor).status_code == 403
        for path in ("/staff/", "/admin/"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=alice).status_code == 403


def test_protect_a_route_lets_in_whom_it_should(
    twinlock_auth: Instances, login_as: LoginAs, create_user: CreateUser
) -> None:
    admin_app = FastAPI()

    @admin_app.get("/")
    def who(user: CurrentUser) -> str:
        return user.username

    page = run("protect-a-route", given={"admin_app": admin_app})
    twinlock_auth(page["auth"])

    with TestClient(page["app"], base_url=BASE_URL) as client:
        editor = create_user("erin", roles=("editor",))
        admin = create_user("root", roles=(ADMIN,))

        assert client.delete("/items/1", headers=login_as(editor)).status_code == 403
        wide = login_as(editor, scope=["items:write"])
        assert client.delete("/items/1", headers=wide).status_code == 200
        assert client.get("/admin/", headers=login_as(admin, acr="aal1")).status_code == 401
        assert client.get("/admin/", headers=login_as(admin)).json() == "root"


def test_step_up(
    twinlock_auth: Instances, create_user: CreateUser, twinlock_clock: MovableClock
) -> None:
    page = run("step-up")
    app = FastAPI()
    app.include_router(page["router"])
    twinlock_auth().install(app)

    with TestClient(app, base_url=BASE_URL) as client:
        create_user("alice", password=PASSWORD)
        form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
        headers = bearer(client.post("/token", data=form).json())
        weak = client.post("/transfer", headers=headers)
        phone, tokens = enroll(client, headers, twinlock_clock())
        now = twinlock_clock.advance(minutes=6)
        old = client.post("/transfer", headers=bearer(tokens))
        token = page["step_up"](client, tokens["access_token"], phone.code(now))
        done = client.post("/transfer", headers={"Authorization": f"Bearer {token}"})

    for refused in (weak, old):
        challenge = refused.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer error="insufficient_user_authentication", ')
        assert challenge.endswith(', acr_values="aal2", max_age="300"')
    assert done.status_code == 200


def test_websockets(twinlock_auth: Instances, login_as: LoginAs) -> None:
    page = run("websockets")
    twinlock_auth(page["auth"])

    with TestClient(page["app"], base_url=BASE_URL) as client:
        headers = login_as("alice")
        token = headers["Authorization"].removeprefix("Bearer ")
        for shown in ({"headers": headers}, {"subprotocols": ["twinlock.bearer", token]}):
            with client.websocket_connect("/ws", **shown) as socket:
                socket.send_text("hello")
                assert socket.receive_text() == "alice: hello"
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"/ws?token={token}"):
            pass


def test_hooks(
    twinlock_auth: Instances,
    create_user: CreateUser,
    twinlock_clock: MovableClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = run("hooks")
    auth: Twinlock = twinlock_auth(page["auth"])
    app = FastAPI()
    auth.install(app)

    with TestClient(app, base_url=BASE_URL) as client:
        create_user("alice", password=PASSWORD)
        form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
        headers = bearer(client.post("/token", data=form).json())
        _, tokens = enroll(client, headers, twinlock_clock())
        (factor,) = client.get("/api/factors", headers=bearer(tokens)).json()["factors"]
        client.delete(f"/api/factors/{factor['id']}", headers=bearer(tokens))
        auth.finish_hooks()

    assert capsys.readouterr().out.splitlines() == [
        "alice signed in from None",  # the test client has no address
        "alice has one factor less",
    ]


def test_passkeys(twinlock_auth: Instances, login_as: LoginAs) -> None:
    page = run("passkeys")
    app = FastAPI()
    twinlock_auth().install(app)

    with TestClient(app, base_url=BASE_URL) as client:
        page["enroll_and_sign_in"](client, login_as("alice"))


def test_an_app_that_makes_its_own_instance(
    twinlock_auth: Instances, login_as: LoginAs, provide: Provide
) -> None:
    """Of test-your-app: its fixture, used as pytest would."""
    app, auth = FastAPI(), Twinlock()
    auth.install(app)

    @app.get("/items")
    def items(user: CurrentUser) -> list[str]:
        return [f"an item of {user.username}"]

    provide("myapp", app=app, auth=auth)
    provide("app", create_app=FastAPI)
    page = run("test-your-app", only=slice(2))
    (client,) = page["client"].__wrapped__(twinlock_auth)

    with client:
        assert client.get("/items", headers=login_as("alice")).json() == ["an item of alice"]


async def test_asynchronous_tests(
    twinlock_auth: Instances, login_as: LoginAs, provide: Provide
) -> None:
    """Of test-your-app: its test, run as pytest would."""

    def create_app(auth: Twinlock) -> FastAPI:
        app = FastAPI()
        auth.install(app)

        @app.get("/items")
        def items(user: CurrentUser) -> list[str]:
            return [f"an item of {user.username}"]

        return app

    given = {"ASGITransport": ASGITransport, "AsyncClient": AsyncClient, "create_app": create_app}
    page = run(
        "test-your-app",
        given={**given, "Instances": Instances, "LoginAs": LoginAs},
        only=slice(2, 3),
    )

    await page["test_items"](twinlock_auth, login_as)
