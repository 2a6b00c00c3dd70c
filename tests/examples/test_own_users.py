"""The example of own users: an old table with bcrypt hashes, and second factors on top."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.examples.conftest import EXAMPLES, Copy, load, twinlock
from twinlock.core.clock import utc_now
from twinlock.testing.authenticator import FakeAuthenticator

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def without_users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "data"
    twinlock(folder, "init")
    return folder


@pytest.fixture
def host(without_users: Path, use_copy: Copy, tmp_path: Path) -> Iterator[TestClient]:
    use_copy(without_users)
    url = f"sqlite:///{tmp_path / 'people.sqlite3'}"
    app = load(EXAMPLES / "own_users" / "app.py").create_app(url)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as tx:
        for login, roles in (("alice", "admin"), ("bob", "")):
            tx.execute(
                text(
                    "INSERT INTO person (login, email, hashed_password, is_active, roles)"
                    " VALUES (:login, :login || '@example.com', :hashed, 1, :roles)"
                ),
                {"login": login, "hashed": hashed, "roles": roles},
            )
    with TestClient(app) as client:
        yield client


def sign_in(host: TestClient, name: str) -> dict[str, str]:
    form = {"grant_type": "password", "username": name, "password": PASSWORD}
    answer = host.post("/token", data=form)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def enroll(host: TestClient, headers: dict[str, str]) -> dict[str, str]:
    begun: dict[str, Any] = host.post("/api/factors/totp", json={}, headers=headers).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(utc_now()), "label": "Phone"}
    done = host.post("/api/factors/totp/confirm", json=answer, headers=headers)
    assert done.status_code == 201, done.text
    return {"Authorization": f"Bearer {done.json()['access_token']}"}


@pytest.mark.parametrize("act", ["disable", "delete"])
def test_an_admin_puts_somebody_out_at_once(host: TestClient, act: str) -> None:
    alice = enroll(host, sign_in(host, "alice"))
    bob = sign_in(host, "bob")
    before = host.get("/items", headers=bob)

    if act == "disable":
        done = host.post("/people/2/disable", headers=alice)
    else:
        done = host.delete("/people/2", headers=alice)

    assert before.json() == ["an item of person 2"]
    assert done.status_code == 200
    assert host.get("/items", headers=bob).status_code == 401
