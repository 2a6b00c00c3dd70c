"""The applications that the tutorial and the README show work as they are written."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.examples.conftest import PASSWORD, ROOT, Copy, load
from twinlock.core.clock import utc_now
from twinlock.testing.authenticator import FakeAuthenticator

BASE_URL = "http://localhost:8000"
APPS = {
    "README.md": "from twinlock import CurrentUser, Twinlock\n",
    "docs/tutorial.md": "from twinlock import CurrentUser, Twinlock, User, require\n",
    "docs/how-to/protect-a-route.md": "from twinlock import CurrentUser, OptionalUser",
}


def shown(page: str, tmp_path: Path) -> FastAPI:
    """Return the application of a page."""
    fences = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (code,) = (fence for fence in fences if APPS[page] in fence)
    path = tmp_path / "app.py"
    path.write_text(code)
    app: FastAPI = load(path).app
    return app


@pytest.fixture(autouse=True)
def _installed(with_johndoe: Path, use_copy: Copy) -> None:
    """Every page's app finds an installation with a user."""
    use_copy(with_johndoe)


def sign_in(client: TestClient, **fields: str) -> dict[str, str]:
    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD, **fields}
    response = client.post("/token", data=form)
    assert response.status_code == 200, response.text
    return bearer(response.json())


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def test_the_app_of_the_readme_knows_its_user(tmp_path: Path) -> None:
    with TestClient(shown("README.md", tmp_path), base_url=BASE_URL) as client:
        stranger = client.get("/items")
        owner = client.get("/items", headers=sign_in(client))

        assert stranger.status_code == 401
        assert owner.json() == ["an item of johndoe"]


def test_the_app_of_the_tutorial_lets_two_factors_transfer(tmp_path: Path) -> None:
    with TestClient(shown("docs/tutorial.md", tmp_path), base_url=BASE_URL) as client:
        password_only = sign_in(client)
        refused = client.post("/transfer", headers=password_only)
        begun = client.post("/api/factors/totp", headers=password_only).json()
        phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
        answer = {"enrollment": begun["enrollment"], "answer": phone.code(utc_now())}
        enrolled = client.post("/api/factors/totp/confirm", json=answer, headers=password_only)

        allowed = client.post("/transfer", headers=bearer(enrolled.json()))

        assert 'max_age="300"' in refused.headers["WWW-Authenticate"]
        assert (allowed.status_code, allowed.json()) == (200, {"from": "johndoe"})
        assert client.get("/items", headers=password_only).status_code == 401


def test_the_app_of_the_how_to_tells_strangers_from_users(tmp_path: Path) -> None:
    app = shown("docs/how-to/protect-a-route.md", tmp_path)
    with TestClient(app, base_url=BASE_URL) as client:
        with_scope = sign_in(client, scope="items:write")

        assert client.get("/hello").json() == "Hello, stranger"
        assert client.get("/hello", headers=with_scope).json() == "Hello, johndoe"
        assert client.delete("/items/1", headers=with_scope).status_code == 403
