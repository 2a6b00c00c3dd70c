"""Register, sign in, enroll, sign in with both factors: at fastapi-users' own paths."""

from collections.abc import Iterator
from typing import Any

import pytest
from app import app, auth
from fastapi.testclient import TestClient

from twinlock.testing import FakeAuthenticator, Instances, MovableClock

PASSWORD = "correct horse battery staple"


@pytest.fixture
def client(twinlock_auth: Instances) -> Iterator[TestClient]:
    twinlock_auth(auth)
    with TestClient(app) as client:
        yield client


def bearer(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_a_transfer_takes_the_second_factor_of_a_fastapi_users_login(
    client: TestClient, twinlock_clock: MovableClock
) -> None:
    form = {"username": "john@example.com", "password": PASSWORD}
    client.post("/auth/register", json={"email": form["username"], "password": PASSWORD})
    headers = bearer(client.post("/auth/jwt/login", data=form))
    assert client.get("/items", headers=headers).json() == ["an item of john@example.com"]
    assert client.post("/transfer", headers=headers).status_code == 401

    ours = bearer(client.post("/auth/jwt/access", headers=headers))
    begun = client.post("/twinlock/api/factors/totp", json={}, headers=ours).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(twinlock_clock())}
    client.post("/twinlock/api/factors/totp/confirm", json=answer, headers=ours)
    assert client.get("/items", headers=headers).status_code == 401

    asked = client.post("/auth/jwt/login", data=form)
    code = phone.code(twinlock_clock.advance(seconds=30))
    body = {"login": asked.json()["detail"]["login"], "answer": code}
    both = bearer(client.post("/auth/jwt/login/totp", json=body))

    assert asked.status_code == 403
    assert client.post("/transfer", headers=both).json() == "sent"
