"""What is changed is changed, and everything else stays as it is."""

import re
from collections.abc import Iterator

import pytest
from app import app, auth
from fastapi.testclient import TestClient

from twinlock.testing import Instances


@pytest.fixture
def client(twinlock_auth: Instances) -> Iterator[TestClient]:
    twinlock_auth(auth)
    with TestClient(app, base_url="https://localhost:8000") as client:
        yield client


def test_name_logo_and_colours_are_ours(client: TestClient) -> None:
    page = client.get("/login").text

    assert "Harbour &amp; Sons" in page
    sheet = re.search(r'href="([^"]+\.css)"', page)
    logo = re.search(r'src="([^"]+logo[^"]+\.svg)"', page)
    assert sheet is not None
    assert logo is not None
    assert "--key: #5b2a86" in client.get(sheet[1]).text
    assert client.get(logo[1]).headers["content-type"] == "image/svg+xml"


def test_one_template_is_ours_and_the_others_are_not(client: TestClient) -> None:
    assert "Fair winds" in client.get("/logout").text
    assert "Choose a new password" in client.get("/recovery/password").text


def test_the_strict_policy_stays(client: TestClient) -> None:
    for path in ("/login", "/logout"):
        policy = client.get(path).headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy
