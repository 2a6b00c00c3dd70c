"""The example of fastapi-users: register, sign in, enroll, sign in with both factors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.examples.conftest import EXAMPLES, Copy, load, twinlock
from twinlock.core.clock import utc_now
from twinlock.testing.authenticator import FakeAuthenticator

PASSWORD = "correct horse battery staple"
USER = {"email": "john@example.com", "password": PASSWORD}
FORM = {"username": "john@example.com", "password": PASSWORD}


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "data"
    twinlock(folder, "init")
    return folder


@pytest.fixture
def host(empty: Path, use_copy: Copy, tmp_path: Path) -> Iterator[TestClient]:
    use_copy(empty)
    url = f"sqlite+aiosqlite:///{tmp_path / 'people.sqlite3'}"
    app = load(EXAMPLES / "fastapi_users" / "app.py").create_app(url, "a secret " * 8)
    with TestClient(app) as client:
        assert client.post("/auth/register", json=USER).status_code == 201
        yield client


def bearer(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_a_transfer_takes_the_second_factor_of_a_fastapi_users_login(host: TestClient) -> None:
    headers = bearer(host.post("/auth/jwt/login", data=FORM))
    assert host.get("/items", headers=headers).json() == ["an item of john@example.com"]
    assert host.post("/transfer", headers=headers).status_code == 401
    ours = bearer(host.post("/auth/jwt/access", headers=headers))
    begun = host.post("/twinlock/api/factors/totp", json={}, headers=ours).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(utc_now()), "label": "Phone"}
    done = host.post("/twinlock/api/factors/totp/confirm", json=answer, headers=ours)
    assert host.get("/items", headers=headers).status_code == 401

    asked = host.post("/auth/jwt/login", data=FORM)
    body = {"login": asked.json()["detail"]["login"], "answer": done.json()["recovery_codes"][0]}
    both = bearer(host.post("/auth/jwt/login/recovery_codes", json=body))

    assert asked.status_code == 403
    assert host.post("/transfer", headers=both).json() == "sent"
