"""The tutorial's app before and after: the same user, password and phone sign in."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.examples.conftest import EXAMPLES, Copy, load, twinlock
from twinlock.core.clock import utc_now

UPGRADED = EXAMPLES / "tutorial_upgraded"
BEFORE = load(UPGRADED / "before.py")
PHONE = pyotp.TOTP(BEFORE.fake_users_db["johndoe"]["otp_secret"])
GRANT = {"grant_type": "password"}
JOHN = {
    "username": "johndoe",
    "email": "johndoe@example.com",
    "full_name": "John Doe",
    "disabled": False,
}


def code(*, steps: int = 0) -> str:
    """Return what John's phone shows, now or some steps later.

    What it showed until the import is spent; the next step's code is accepted early.
    """
    return PHONE.at(utc_now() + timedelta(seconds=30 * steps))


def sign_in(client: TestClient, password: str) -> Any:
    return client.post("/token", data={"username": "johndoe", "password": password, **GRANT})


def read(client: TestClient, path: str, tokens: dict[str, Any]) -> Any:
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    return client.get(path, headers=bearer).json()


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that the documented commands moved the old app's user to."""
    folder = tmp_path_factory.mktemp("moved") / "data"
    twinlock(folder, "init")
    twinlock(folder, "user", "import", str(UPGRADED / "before.py"))
    return folder


@pytest.fixture
def after(moved: Path, use_copy: Copy) -> FastAPI:
    """The upgraded app on a copy of that installation."""
    use_copy(moved)
    app: FastAPI = load(UPGRADED / "after.py").app
    return app


def test_the_app_before_signs_in_with_password_and_code() -> None:
    # It takes the code of this very step alone, which may end between two lines.
    with time_machine.travel(utc_now(), tick=False), TestClient(BEFORE.app) as client:
        signed_in = sign_in(client, "secret" + code())

        assert sign_in(client, "secret000000").status_code == 401
        assert read(client, "/users/me", signed_in.json()) == JOHN


def test_the_app_after_keeps_user_password_phone_and_routes(after: FastAPI) -> None:
    with TestClient(after, base_url="http://localhost:8000") as client:
        signed_in = sign_in(client, "secret" + code(steps=1))

        assert signed_in.status_code == 200, signed_in.text
        assert read(client, "/users/me", signed_in.json()) == JOHN
        assert read(client, "/users/me/items", signed_in.json()) == [
            {"item_id": "Foo", "owner": "johndoe"}
        ]


def test_the_app_after_asks_for_the_code_and_takes_it_once(after: FastAPI) -> None:
    password = "secret" + code(steps=1)
    with TestClient(after, base_url="http://localhost:8000") as client:
        alone = sign_in(client, "secret")
        first = sign_in(client, password)
        second = sign_in(client, password)

        assert (alone.status_code, alone.json()["error"]) == (403, "mfa_required")
        assert (first.status_code, second.status_code) == (200, 400)


def test_an_imported_user_gets_recovery_codes_and_signs_in_by_one(after: FastAPI) -> None:
    with TestClient(after, base_url="http://localhost:8000") as client:
        tokens = sign_in(client, "secret" + code(steps=1)).json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}

        made = client.post("/api/factors/recovery_codes", headers=bearer)

        assert made.status_code == 201, made.text
        recovery_code = made.json()["recovery_codes"][0]
        form = {"username": "johndoe", "password": "secret", "otp": recovery_code, **GRANT}
        assert client.post("/token", data=form).status_code == 200
