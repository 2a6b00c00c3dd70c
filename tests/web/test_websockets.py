"""WebSockets: who may open one, and how it ends when its user may not go on.

The server of these tests gives no time of its own: an idle connection is looked at every few
hundredths of a second by a setting, and the clock of the installation stands still.
"""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from sqlalchemy import text
from starlette.websockets import WebSocketDisconnect

from tests.support.house import BASE_URL, OPERATOR, PASSWORD, House, bearer, sign_in
from tests.web.conftest import host_app
from twinlock import CurrentUser, OptionalUser, Twinlock, User, require
from twinlock.testing.people import LoginAs
from twinlock.web.layer import GuardLayer
from twinlock.web.socket_watch import Watch

OWN = {"Origin": BASE_URL}
SESSION = "__Host-twinlock"
IDLE = {"websocket_check_interval": timedelta(milliseconds=20)}


@dataclass
class Line:
    """An application with WebSockets of its own, and what they noticed."""

    house: House
    client: TestClient
    ended: list[int]
    """Close codes that the application was told."""
    left: threading.Event
    """Set when an application's end of a connection has returned."""

    def connect(self, path: str = "/ws", **kwargs: Any) -> Any:
        """Open a WebSocket."""
        return self.client.websocket_connect(path, **kwargs)

    def refused(self, path: str = "/ws", **kwargs: Any) -> int:
        """Return the code that a handshake is closed with."""
        with pytest.raises(WebSocketDisconnect) as closed, self.connect(path, **kwargs):
            pass  # pragma: no cover - refused before
        return closed.value.code

    def sign_in(self) -> str:
        """Sign in and return the access token."""
        token: str = sign_in(self.client)["access_token"]
        return token

    def cookie(self) -> dict[str, str]:
        """Sign in as a page and return the header with the session cookie."""
        body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
        answer = self.client.post("/api/login", json=body, headers=OWN)
        self.client.cookies.clear()
        [pair] = [
            one.partition(";")[0]
            for one in answer.headers.get_list("set-cookie")
            if one.startswith(f"{SESSION}=")
        ]
        return {"Cookie": pair}

    def end_all(self) -> None:
        """End every session, as an operator does from another process."""
        administration, account = self.house.administration, self.house.account()
        administration.disable(account, OPERATOR, now=self.house.now)


def add_sockets(app: FastAPI, line_ended: list[int], left: threading.Event) -> None:
    """Add WebSockets as a host writes them."""

    async def echo(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        try:
            await websocket.send_text(name)
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect as gone:
            line_ended.append(gone.code)
        finally:
            left.set()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, user: CurrentUser) -> None:
        await echo(websocket, user.username)

    @app.websocket("/maybe-ws")
    async def maybe(websocket: WebSocket, user: OptionalUser) -> None:
        await echo(websocket, user.username if user else "nobody")

    @app.websocket("/guarded", dependencies=[require(role="editor")])
    async def guarded(websocket: WebSocket) -> None:
        await echo(websocket, "editor")

    @app.websocket("/fresh")
    async def fresh(
        websocket: WebSocket, user: Annotated[User, require(max_age=timedelta(minutes=5))]
    ) -> None:
        await echo(websocket, user.username)

    @app.websocket("/careless")
    async def careless(websocket: WebSocket, user: CurrentUser) -> None:
        """Catch nothing."""
        await websocket.accept()
        while True:
            await websocket.receive_text()

    @app.websocket("/choosing")
    async def choosing(websocket: WebSocket, user: CurrentUser) -> None:
        """Pick whatever was offered last."""
        await websocket.accept(websocket.scope["subprotocols"][-1])
        await websocket.close()

    @app.websocket("/echoing")
    async def echoing(websocket: WebSocket, user: CurrentUser) -> None:
        """Give back the whole header, as some tutorials do."""
        given = websocket.headers.get("sec-websocket-protocol", "")
        await websocket.accept(given.split(",")[1].strip())
        await websocket.close()

    @app.websocket("/pushing")
    async def pushing(websocket: WebSocket, user: CurrentUser) -> None:
        """Only send, and never listen."""
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("news")
        finally:
            left.set()

    inner = FastAPI()

    @inner.websocket("/ws")
    async def inner_ws(websocket: WebSocket) -> None:
        await echo(websocket, websocket.scope["twinlock.user"].username)

    app.mount("/inner", GuardLayer(inner))


@pytest.fixture(params=["server", "host"])
def line(request: pytest.FixtureRequest, sqlite_house: House) -> Iterator[Line]:
    """Our server with WebSockets of a host's, and a plain application with the same."""
    house = sqlite_house.again(**IDLE)
    if request.param == "host":
        house.app = host_app(house, prefix="")
    ended: list[int] = []
    left = threading.Event()
    add_sockets(house.app, ended, left)
    with TestClient(house.app, base_url=BASE_URL) as client:
        house.create()
        yield Line(house, client, ended, left)


def test_a_token_opens_a_websocket(line: Line) -> None:
    with line.connect(headers={"Authorization": f"Bearer {line.sign_in()}"}) as socket:
        assert socket.receive_text() == "johndoe"
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
        assert socket.accepted_subprotocol is None


def test_a_browser_offers_its_token_as_a_subprotocol(line: Line) -> None:
    """It can set no header; the one that is accepted was offered, and is not the token."""
    offered = ["twinlock.bearer", line.sign_in()]

    with line.connect(subprotocols=offered) as socket:
        assert socket.receive_text() == "johndoe"
        assert socket.accepted_subprotocol == "twinlock.bearer"


def test_the_application_chooses_among_its_own_subprotocols(line: Line) -> None:
    token = line.sign_in()

    with line.connect("/choosing", subprotocols=["twinlock.bearer", token, "chat.v1"]) as socket:
        assert socket.accepted_subprotocol == "chat.v1"
    for path in ("/choosing", "/echoing"):  # would give the token back
        with line.connect(path, subprotocols=["twinlock.bearer", token]) as socket:
            assert socket.accepted_subprotocol == "twinlock.bearer"


@pytest.mark.parametrize("path", ["/ws", "/fresh", "/guarded", "/inner/ws"])
def test_nobody_opens_a_guarded_websocket(line: Line, path: str) -> None:
    assert line.refused(path) == 1008
    assert line.refused(path, subprotocols=["twinlock.bearer", "x.y.z"]) == 1008
    assert line.refused(path, subprotocols=["twinlock.bearer"]) == 1008
    assert line.refused(path, subprotocols=["chat.v1", line.sign_in()]) == 1008


def test_who_may_be_nobody_is_still_not_anybody(line: Line) -> None:
    with line.connect("/maybe-ws") as socket:
        assert socket.receive_text() == "nobody"
    assert line.refused("/maybe-ws", subprotocols=["twinlock.bearer", "x.y.z"]) == 1008


@pytest.mark.parametrize("path", ["/ws", "/inner/ws", "/maybe-ws"])
@pytest.mark.parametrize("name", ["token", "access_token"])
def test_a_token_in_the_url_is_refused(line: Line, path: str, name: str) -> None:
    """RFC 9700 section 4.3.2; also where a good one comes along elsewhere."""
    token = line.sign_in()
    good = {"Authorization": f"Bearer {token}"}

    assert line.refused(f"{path}?{name}={token}") == 1008
    assert line.refused(f"{path}?{name}={token}", headers=good) == 1008


def test_more_than_one_credential_is_refused(line: Line) -> None:
    token, cookie = line.sign_in(), line.cookie()
    header = {"Authorization": f"Bearer {token}"}
    offered = ["twinlock.bearer", token]

    assert line.refused(headers=header, subprotocols=offered) == 1008
    assert line.refused(headers=cookie | OWN, subprotocols=offered) == 1008
    assert line.refused(headers=cookie | OWN | header) == 1008
    assert line.refused(subprotocols=offered * 2) == 1008


@pytest.mark.parametrize("path", ["/ws", "/inner/ws"])
def test_a_cookie_counts_only_from_our_own_origin(line: Line, path: str) -> None:
    cookie = line.cookie()

    with line.connect(path, headers=cookie | OWN) as socket:
        assert socket.receive_text() == "johndoe"
    assert line.refused(path, headers=cookie) == 1008
    assert line.refused(path, headers=cookie | {"Sec-Fetch-Site": "same-origin"}) == 1008
    assert line.refused(path, headers=cookie | {"Origin": "https://evil.example"}) == 1008
    assert line.refused(path, headers=cookie | {"Origin": "null"}) == 1008


@pytest.mark.parametrize("path", ["/ws", "/inner/ws"])
@pytest.mark.parametrize("kind", ["token", "subprotocol", "cookie"])
def test_an_idle_websocket_is_closed_when_its_session_ends(
    line: Line, path: str, kind: str
) -> None:
    given: dict[str, Any]
    match kind:
        case "token":
            given = {"headers": {"Authorization": f"Bearer {line.sign_in()}"}}
        case "subprotocol":
            given = {"subprotocols": ["twinlock.bearer", line.sign_in()]}
        case _:
            given = {"headers": line.cookie() | OWN}
    with line.connect(path, **given) as socket:
        socket.receive_text()

        line.end_all()

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert line.left.wait(5)
    assert closed.value.code == 1008
    assert line.ended == [1008]


def test_a_message_after_the_end_is_not_heard(sqlite_house: House) -> None:
    """The timer of this server looks so seldom that only the message can find out."""
    house = sqlite_house.again(websocket_check_interval=timedelta(seconds=9))
    heard: list[int] = []
    left = threading.Event()
    add_sockets(house.app, heard, left)
    with TestClient(house.app, base_url=BASE_URL) as client:
        house.create()
        line = Line(house, client, heard, left)
        with line.connect(headers={"Authorization": f"Bearer {line.sign_in()}"}) as socket:
            socket.receive_text()
            line.end_all()

            socket.send_text("too late")

            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert left.wait(5)
    assert (closed.value.code, heard) == (1008, [1008])


def test_signing_out_closes_what_the_session_had_open(line: Line) -> None:
    header = {"Authorization": f"Bearer {line.sign_in()}"}
    with line.connect(headers=header) as socket:
        socket.receive_text()

        assert line.client.post("/api/logout", headers=header).status_code == 204

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008


def test_a_demand_holds_for_the_whole_connection(line: Line) -> None:
    """A proof grows old, and a token expires, while a connection is open."""
    header = {"Authorization": f"Bearer {line.sign_in()}"}
    with line.connect("/fresh", headers=header) as fresh, line.connect(headers=header) as plain:
        fresh.receive_text()
        plain.receive_text()

        line.house.clock.advance(minutes=5, seconds=1)

        with pytest.raises(WebSocketDisconnect) as stale:
            fresh.receive_text()
        plain.send_text("still here")
        assert plain.receive_text() == "still here"
        line.house.clock.advance(minutes=5)
        with pytest.raises(WebSocketDisconnect) as expired:
            plain.receive_text()
    assert (stale.value.code, expired.value.code) == (1008, 1008)


def test_a_lost_role_closes_a_websocket(line: Line) -> None:
    editor = line.house.create("editor", roles=("editor",))
    header = bearer(sign_in(line.client, "editor"))
    with line.connect("/guarded", headers=header) as socket:
        socket.receive_text()

        line.house.administration.disable(editor, OPERATOR, now=line.house.now)

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008


def test_an_application_that_only_sends_is_closed_too(line: Line) -> None:
    with line.connect("/pushing", headers=bearer(sign_in(line.client))) as socket:
        assert socket.receive_text() == "news"

        line.end_all()

        with pytest.raises(WebSocketDisconnect) as closed:
            list(iter(socket.receive_text, None))
        assert line.left.wait(5)
    assert closed.value.code == 1008


def test_an_application_that_catches_nothing_breaks_nothing(line: Line) -> None:
    """`TestClient` would raise what reaches a server, where it fills the log."""
    with line.connect("/careless", headers=bearer(sign_in(line.client))) as socket:
        line.end_all()

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008


def test_a_client_that_leaves_is_told_as_ever(line: Line) -> None:
    with line.connect(headers=bearer(sign_in(line.client))) as socket:
        socket.receive_text()
        socket.close(1001)
        assert line.left.wait(5)

    assert line.ended == [1001]


def test_what_cannot_be_decided_closes_with_try_again_later(line: Line) -> None:
    """IANA's registry for RFC 6455: 1013. Nobody stays signed in because a database is silent."""
    header = {"Authorization": f"Bearer {line.sign_in()}"}
    with line.connect(headers=header) as socket:
        socket.receive_text()

        rename = text("ALTER TABLE session RENAME TO gone")
        line.house.database.transaction(lambda tx: tx.execute(rename))
        line.house.runtime.sight._seen.forget_all()

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1013
    assert line.ended == [1013]


def test_what_breaks_a_check_closes(line: Line) -> None:
    """Never does an error of ours leave a connection open that nobody checks any more."""
    header = {"Authorization": f"Bearer {line.sign_in()}"}
    with line.connect(headers=header) as socket:
        socket.receive_text()

        line.house.runtime.parts.database.close()  # or a read on the event loop would do
        line.house.runtime.workers.close()
        line.house.runtime.sight._seen.forget_all()

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1011


def test_an_idle_page_is_not_kept_signed_in_by_its_websocket(line: Line) -> None:
    """Looking is no activity: after an hour without any, the session ends."""
    with line.connect(headers=line.cookie() | OWN) as socket:
        socket.receive_text()
        for _ in range(3):
            line.house.clock.advance(minutes=19)
            line.house.runtime.sight._seen.forget_all()
        line.house.clock.advance(minutes=4)

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008


async def test_nothing_runs_on_behind_a_connection() -> None:
    """Neither when the application returns, nor when the server cancels it."""
    before = asyncio.all_tasks()

    async def silence() -> Any:
        await asyncio.Event().wait()

    async def swallow(message: Any) -> None: ...

    async def yes(is_active: bool) -> None: ...

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["twinlock.socket"].ask("key", yes)
        await receive()

    watch = Watch(silence, swallow, interval=9)
    running = asyncio.create_task(watch.run(app, {"type": "websocket", "subprotocols": []}))
    for _ in range(5):
        await checkpoint()
    assert len(asyncio.all_tasks() - before) == 3
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert asyncio.all_tasks() == before


async def test_a_message_is_not_lost_when_an_application_stops_waiting() -> None:
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    heard: list[str] = []

    async def swallow(message: Any) -> None: ...

    async def yes(is_active: bool) -> None: ...

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["twinlock.socket"].ask("key", yes)
        waiting = asyncio.create_task(receive())
        await checkpoint()
        waiting.cancel()
        arrived.put_nowait({"type": "websocket.receive", "text": "first"})
        heard.append((await receive())["text"])

    await Watch(arrived.get, swallow, interval=9).run(app, {"type": "websocket"})

    assert heard == ["first"]


def test_a_layer_of_its_own_watches_without_install(sqlite_house: House) -> None:
    """Over an application that has no instance, for whom `auth.router()` is somewhere else."""
    auth = Twinlock(sqlite_house.again(**IDLE).settings, clock=sqlite_house.clock)
    app, inner = FastAPI(), FastAPI()
    app.state.twinlock = auth
    auth.install(app, prefix="/auth")
    left = threading.Event()
    ended: list[int] = []
    add_sockets(inner, ended, left)
    sqlite_house.app = app
    with TestClient(app, base_url=BASE_URL), TestClient(GuardLayer(inner, auth)) as client:
        account = sqlite_house.create()
        header = LoginAs(lambda: auth)("johndoe")
        with client.websocket_connect("/ws", headers=header) as socket:
            socket.receive_text()

            sqlite_house.administration.disable(account, OPERATOR, now=sqlite_house.now)

            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert left.wait(5)
    assert closed.value.code == 1008
