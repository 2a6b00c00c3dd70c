"""What a browser is promised: no token in reach of scripts, no change without the CSRF token."""

from collections.abc import Iterator
from typing import Any

import pytest
from app import STATIC, app, auth, balances
from fastapi.testclient import TestClient

from twinlock.testing import CreateUser, FakeAuthenticator, Instances, MovableClock

PASSWORD = "correct horse battery staple"
SITE = "https://localhost:8000"  # the test client keeps Secure cookies for https alone
OWN = {"Origin": "http://localhost:8000"}


class Browser:
    """Sends what the page's own modules send."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.csrf = ""

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.client.post(path, json=body, headers=OWN | {"X-CSRF-Token": self.csrf})
        self.csrf = answer.json().get("csrf_token", self.csrf) if answer.content else ""
        return answer

    def sign_in(self) -> Any:
        body = {"username": "alice", "password": PASSWORD, "transport": "cookie"}
        return self.post("/api/login", body)


@pytest.fixture
def browser(twinlock_auth: Instances, create_user: CreateUser) -> Iterator[Browser]:
    twinlock_auth(auth)
    balances.clear()
    with TestClient(app, base_url=SITE) as client:
        create_user("alice", password=PASSWORD)
        yield Browser(client)


def enroll(browser: Browser, clock: MovableClock) -> FakeAuthenticator:
    begun = browser.post("/api/factors/totp", {}).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(clock())}
    assert browser.post("/api/factors/totp/confirm", answer).status_code == 201
    return phone


def test_no_token_comes_within_reach_of_a_script(browser: Browser) -> None:
    signed_in = browser.sign_in()

    cookie = signed_in.headers["set-cookie"]
    assert "access_token" not in signed_in.json()
    assert "refresh_token" not in signed_in.json()
    assert cookie.startswith("__Host-twinlock=")
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert browser.client.get("/balance").json() == {"balance": 100}


def test_a_transfer_takes_the_csrf_token_and_a_fresh_second_factor(
    browser: Browser, twinlock_clock: MovableClock
) -> None:
    browser.sign_in()
    alone = browser.post("/transfers", {"amount": 10})
    phone = enroll(browser, twinlock_clock)
    fresh = browser.post("/transfers", {"amount": 10})
    without = browser.client.post("/transfers", json={"amount": 10}, headers=OWN)
    foreign = {"Origin": "https://evil.example", "X-CSRF-Token": browser.csrf}
    elsewhere = browser.client.post("/transfers", json={"amount": 10}, headers=foreign)
    now = twinlock_clock.advance(minutes=6)
    old = browser.post("/transfers", {"amount": 10})
    begun = browser.post("/api/reauthenticate", {"acr": "aal2"}).json()
    answer = {"reauthentication": begun["reauthentication"], "answer": phone.code(now)}
    browser.post("/api/reauthenticate/totp", answer)
    again = browser.post("/transfers", {"amount": 10})

    assert (alone.status_code, fresh.json()) == (401, {"balance": 90})
    assert (without.status_code, elsewhere.status_code) == (403, 403)
    assert (old.status_code, again.json()) == (401, {"balance": 80})


def test_a_sign_in_takes_both_factors(browser: Browser, twinlock_clock: MovableClock) -> None:
    browser.sign_in()
    phone = enroll(browser, twinlock_clock)
    browser.post("/api/logout")

    begun = browser.sign_in().json()
    before = browser.client.get("/balance").status_code
    code = phone.code(twinlock_clock.advance(seconds=30))
    body = {"login": begun["login"], "answer": code, "transport": "cookie"}
    browser.post("/api/login/totp", body)

    assert (begun["status"], before) == ("second_factor_required", 401)
    assert browser.client.get("/balance").json() == {"balance": 100}


def test_the_page_runs_its_own_modules_and_nothing_else(browser: Browser) -> None:
    page = browser.client.get("/")

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<style" not in page.text
    assert "style=" not in page.text
    assert "<script>" not in page.text
    for file in STATIC.iterdir():
        served = browser.client.get(f"/static/{file.name}")
        assert served.headers["content-security-policy"] == policy
        assert "innerHTML" not in served.text
    assert browser.client.get("/static/..%2Fapp.py").status_code == 404
