"""WebSockets as they are on the wire: the chat of the examples, uvicorn, and another's client."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.examples.conftest import EXAMPLES, load
from twinlock.testing import Instances, LoginAs

PATIENCE = 20.0
"""Seconds for what takes hundredths: the machine may be busy."""


@contextmanager
def serving(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def address(twinlock_auth: Instances, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the chat is, which is looked at every few hundredths of a second."""
    monkeypatch.setenv("TWINLOCK_ENVIRONMENT", "development")
    example = load(EXAMPLES / "websocket" / "app.py")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"localhost:{listening.getsockname()[1]}"
        interval = timedelta(milliseconds=20)
        twinlock_auth(example.auth, base_url=f"http://{address}", websocket_check_interval=interval)
        with serving(example.app, listening):
            yield address


def chat(address: str, headers: dict[str, str]) -> ClientConnection:
    url = f"ws://{address}/chat"
    return connect(url, additional_headers=headers, open_timeout=PATIENCE, proxy=None)


def test_a_program_and_a_page_talk_to_each_other(address: str, login_as: LoginAs) -> None:
    program, page = login_as("alice"), login_as("bob")
    token = page["Authorization"].removeprefix("Bearer ")

    with (
        chat(address, program) as of_alice,
        connect(
            f"ws://{address}/chat",
            subprotocols=["twinlock.bearer", token],  # type: ignore[list-item]
            proxy=None,
        ) as of_bob,
    ):
        of_alice.send("hello")
        heard = of_bob.recv(PATIENCE)

    assert heard == "alice: hello"
    assert of_bob.subprotocol == "twinlock.bearer"
    assert token not in str(of_bob.response)


@pytest.mark.parametrize("path", ["/chat", "/chat?token={}", "/chat?access_token={}"])
def test_nobody_gets_through_the_handshake(address: str, login_as: LoginAs, path: str) -> None:
    token = login_as("alice")["Authorization"].removeprefix("Bearer ")

    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{address}{path.format(token)}", open_timeout=PATIENCE, proxy=None)

    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


def test_signing_out_elsewhere_closes_the_connection(address: str, login_as: LoginAs) -> None:
    headers = login_as("alice")
    with chat(address, headers) as connection:
        connection.send("still here")
        assert connection.recv(PATIENCE) == "alice: still here"

        httpx2.post(f"http://{address}/api/logout", headers=headers, trust_env=False)
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(PATIENCE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
