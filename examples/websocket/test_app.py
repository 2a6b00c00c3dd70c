"""The chat of the example: who is there hears everybody, who has left nobody."""

from collections.abc import Iterator

import pytest
from app import app, auth
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from twinlock.testing import Instances, LoginAs


@pytest.fixture
def client(twinlock_auth: Instances) -> Iterator[TestClient]:
    twinlock_auth(auth)
    with TestClient(app) as client:
        yield client


def test_who_is_signed_in_hears_the_others(client: TestClient, login_as: LoginAs) -> None:
    alice, bob = login_as("alice"), login_as("bob")
    with (
        client.websocket_connect("/chat", headers=alice) as of_alice,
        client.websocket_connect("/chat", headers=bob) as of_bob,
    ):
        of_alice.send_text("hello")
        assert of_alice.receive_text() == "alice: hello"
        of_bob.send_text("good day")
        assert of_alice.receive_text() == "bob: good day"


def test_nobody_else_does(client: TestClient, login_as: LoginAs) -> None:
    token = login_as("alice")["Authorization"].removeprefix("Bearer ")

    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/chat"):
        pass  # pragma: no cover
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"/chat?token={token}"):
        pass  # pragma: no cover
