"""A service that only has the login server's address accepts its tokens, and no others."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.examples.conftest import EXAMPLES, PASSWORD, Copy, load
from twinlock import Settings, create_app
from twinlock.core.clock import utc_now
from twinlock.testing.authenticator import FakeAuthenticator

SERVICE = EXAMPLES / "several_services" / "service.py"


@pytest.fixture
def login_server(
    with_johndoe: Path, use_copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx2.Client]:
    """A client of a login server on a port of this machine, with the user johndoe."""
    use_copy(with_johndoe)
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://localhost:{listener.getsockname()[1]}"
    monkeypatch.setenv("TWINLOCK_BASE_URL", address)
    monkeypatch.setenv("ISSUER", address)
    server = uvicorn.Server(uvicorn.Config(create_app(Settings()), log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx2.Client(base_url=address, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join()


@pytest.fixture
def service(login_server: httpx2.Client) -> Iterator[TestClient]:
    """The example, told in its environment where the login server is."""
    app: FastAPI = load(SERVICE).app
    with TestClient(app) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sign_in(login_server: httpx2.Client) -> dict[str, Any]:
    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
    tokens: dict[str, Any] = login_server.post("/token", data=form).raise_for_status().json()
    return tokens


def enroll(login_server: httpx2.Client, token: str) -> dict[str, Any]:
    """Enroll TOTP and return the tokens of two factors."""
    begun = login_server.post("/api/factors/totp", headers=bearer(token)).raise_for_status().json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(utc_now())}
    confirmed = login_server.post("/api/factors/totp/confirm", json=answer, headers=bearer(token))
    tokens: dict[str, Any] = confirmed.raise_for_status().json()
    return tokens


def test_a_service_asks_for_two_factors_and_accepts_them(
    login_server: httpx2.Client, service: TestClient
) -> None:
    one_factor = sign_in(login_server)["access_token"]
    two_factors = enroll(login_server, one_factor)["access_token"]

    weak = service.get("/reports", headers=bearer(one_factor))
    strong = service.get("/reports", headers=bearer(two_factors))

    assert weak.status_code == 401
    assert 'acr_values="aal2"' in weak.headers["WWW-Authenticate"]
    assert (strong.status_code, list(strong.json())) == (200, ["for"])


def test_a_service_refuses_what_the_login_server_did_not_sign(
    login_server: httpx2.Client, service: TestClient
) -> None:
    header, claims, signature = sign_in(login_server)["access_token"].split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    better = base64.urlsafe_b64encode(json.dumps({**said, "acr": "aal2"}).encode())
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    raised = better.rstrip(b"=").decode()

    answers = [
        service.get("/reports", headers=bearer(token)).status_code
        for token in (f"{header}.{raised}.{signature}", f"{unsigned}.{raised}.", "garbage")
    ]

    assert answers == [401, 401, 401]
