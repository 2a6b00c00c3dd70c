"""An old table with bcrypt hashes, and second factors on top."""

from collections.abc import Iterator
from typing import Any

import pytest
from app import Base, Person, app, auth, engine
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from twinlock.testing import FakeAuthenticator, Instances, LoginAs, MovableClock

PASSWORD = "correct horse battery staple"


@pytest.fixture
def client(twinlock_auth: Instances) -> Iterator[TestClient]:
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    twinlock_auth(auth)
    with TestClient(app) as client:
        for login in ("alice", "bob"):
            new = {"login": login, "email": f"{login}@example.com", "password": PASSWORD}
            assert client.post("/people", json=new).status_code == 201
        yield client
    engine.dispose()


def sign_in(client: TestClient, name: str) -> dict[str, str]:
    form = {"grant_type": "password", "username": name, "password": PASSWORD}
    return {"Authorization": f"Bearer {client.post('/token', data=form).json()['access_token']}"}


def test_a_person_signs_in_with_the_password_from_the_table(client: TestClient) -> None:
    assert client.get("/items", headers=sign_in(client, "bob")).json() == ["an item of person 2"]


def test_a_person_enrolls_a_phone(client: TestClient, twinlock_clock: MovableClock) -> None:
    headers = sign_in(client, "bob")
    begun: dict[str, Any] = client.post("/api/factors/totp", headers=headers).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(twinlock_clock())}
    client.post("/api/factors/totp/confirm", json=answer, headers=headers)

    form = {"grant_type": "password", "username": "bob", "password": PASSWORD}
    asked = client.post("/token", data=form)
    code = phone.code(twinlock_clock.advance(seconds=30))

    assert (asked.status_code, asked.json()["error"]) == (403, "mfa_required")
    assert client.post("/token", data={**form, "otp": code}).status_code == 200


@pytest.mark.parametrize("act", ["disable", "delete"])
def test_an_admin_puts_somebody_out_at_once(
    client: TestClient, login_as: LoginAs, act: str
) -> None:
    with Session(engine) as session:
        session.get_one(Person, 1).roles = "admin"
        session.commit()
    bob = sign_in(client, "bob")
    before = client.get("/items", headers=bob)

    alice = login_as("alice")
    if act == "disable":
        done = client.post("/people/2/disable", headers=alice)
    else:
        done = client.delete("/people/2", headers=alice)

    assert (before.status_code, done.status_code) == (200, 200)
    assert client.get("/items", headers=bob).status_code == 401


def test_bob_is_no_admin(client: TestClient, login_as: LoginAs) -> None:
    assert client.delete("/people/1", headers=login_as("bob")).status_code == 403
