"""The application's own tests."""

from collections.abc import Iterator

import pytest
from app import create_app
from fastapi.testclient import TestClient

from twinlock.testing import CreateUser, FakeAuthenticator, Instances, LoginAs, MovableClock


@pytest.fixture
def client(twinlock_auth: Instances) -> Iterator[TestClient]:
    with TestClient(create_app(twinlock_auth())) as client:
        yield client


def test_items_are_the_users(client: TestClient, login_as: LoginAs) -> None:
    assert client.get("/items", headers=login_as("alice")).json() == ["an item of alice"]
    assert client.get("/items").status_code == 401


def test_a_transfer_takes_two_factors(client: TestClient, login_as: LoginAs) -> None:
    assert client.post("/transfer", headers=login_as("alice", acr="aal1")).status_code == 401
    assert client.post("/transfer", headers=login_as("alice", acr="aal2")).status_code == 200


def test_a_transfer_takes_a_fresh_proof(
    client: TestClient, login_as: LoginAs, twinlock_clock: MovableClock
) -> None:
    headers = login_as("alice")
    twinlock_clock.advance(minutes=5, seconds=1)

    assert client.post("/transfer", headers=headers).status_code == 401


def test_alice_signs_in_with_her_phone(
    client: TestClient,
    create_user: CreateUser,
    login_as: LoginAs,
    twinlock_clock: MovableClock,
) -> None:
    headers = login_as(create_user("alice", password="correct horse battery staple"))
    begun = client.post("/api/factors/totp", headers=headers).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(twinlock_clock())}
    client.post("/api/factors/totp/confirm", json=answer, headers=headers)

    now = twinlock_clock.advance(seconds=30)  # a code is good for one use, also at enrollment
    form = {"grant_type": "password", "username": "alice", "otp": phone.code(now)}
    signed_in = client.post("/token", data={**form, "password": "correct horse battery staple"})

    assert signed_in.status_code == 200
