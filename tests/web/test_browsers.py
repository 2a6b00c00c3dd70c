"""Browsers: the session cookie, cross-site requests and the CSRF token."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.support.house import BASE_URL, PASSWORD, House

OWN: dict[str, str] = {"Origin": BASE_URL}
EVIL: dict[str, str] = {"Origin": "https://evil.example"}


@pytest.fixture
def browser(sqlite_house: House, host: TestClient) -> TestClient:
    """A browser at a host's page, with johndoe's account there."""
    sqlite_house.create()
    host.base_url = "https://localhost:8000"  # or the client keeps Secure cookies to itself
    return host


def sign_in(browser: TestClient, **headers: str) -> Response:
    """Sign in for a cookie."""
    body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
    return browser.post("/api/login", json=body, headers={**OWN, **headers})


def csrf(signed_in: Response) -> dict[str, str]:
    """Return the headers of a page of ours."""
    return {**OWN, "X-CSRF-Token": signed_in.json()["csrf_token"]}


def test_a_cookie_sign_in_keeps_tokens_out_of_the_body(browser: TestClient) -> None:
    answer = sign_in(browser)

    assert answer.status_code == 200
    assert not {"access_token", "refresh_token"} & answer.json().keys()
    session = next(
        value
        for value in answer.headers.get_list("set-cookie")
        if value.startswith("__Host-twinlock=")
    )
    attributes = {part.strip().lower() for part in session.split(";")[1:]}
    assert {"httponly", "secure", "path=/", "samesite=lax"} <= attributes
    assert not any(attribute.startswith("domain") for attribute in attributes)
    assert browser.get("/items").json() == {"owner": "johndoe"}


def test_an_unsafe_request_needs_our_origin_and_the_csrf_token(browser: TestClient) -> None:
    token = csrf(sign_in(browser))["X-CSRF-Token"]
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")

    def post(**headers: str) -> int:
        return browser.post("/items", headers=headers).status_code

    header = {"X-CSRF-Token": token}
    assert post(**OWN, **header) == 200
    assert post(**{"Sec-Fetch-Site": "same-origin"}, **header) == 200
    assert post(**header) == 403
    assert post(**OWN) == 403
    assert post(**OWN, **{"X-CSRF-Token": wrong}) == 403
    assert post(**EVIL, **header) == 403
    assert post(Origin="null", **header) == 403
    assert post(**{"Sec-Fetch-Site": "same-site"}, **header) == 403
    assert post(**EVIL, **{"Sec-Fetch-Site": "same-origin"}, **header) == 403


def test_the_csrf_token_of_one_session_is_worth_nothing_in_another(browser: TestClient) -> None:
    first = csrf(sign_in(browser))
    second = csrf(sign_in(browser))

    assert first != second
    assert browser.post("/items", headers=first).status_code == 403
    assert browser.post("/items", headers=second).status_code == 200


def test_a_reload_finds_the_csrf_token_again(browser: TestClient) -> None:
    headers = csrf(sign_in(browser))

    assert browser.get("/api/account").json()["csrf_token"] == headers["X-CSRF-Token"]


@pytest.mark.parametrize(
    "headers",
    [EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)
@pytest.mark.parametrize("door", ["/api/login", "/api/login/totp", "/token"])
def test_a_sign_in_from_another_site_is_refused(
    browser: TestClient, door: str, headers: dict[str, str]
) -> None:
    """Login CSRF would sign a victim in to the attacker's account."""
    body: dict[str, Any] = {"json": {"username": "johndoe", "password": PASSWORD}}
    if door == "/api/login/totp":
        body = {"json": {"login": "x", "answer": "123456"}}
    if door == "/token":
        body = {"data": {"grant_type": "password", "username": "johndoe", "password": PASSWORD}}

    assert browser.post(door, headers=headers, **body).status_code == 403


def test_with_a_session_cookie_only_our_own_pages_sign_in(browser: TestClient) -> None:
    """Not even a page that may call the API: listed origins come without cookies."""
    sign_in(browser)
    body = {"username": "johndoe", "password": PASSWORD}

    assert browser.post("/api/login", json=body).status_code == 403
    assert browser.post("/api/login", json=body, headers=OWN).status_code == 200


def test_a_client_that_is_no_browser_signs_in_without_an_origin(browser: TestClient) -> None:
    body = {"username": "johndoe", "password": PASSWORD}

    assert browser.post("/api/login", json=body).status_code == 200


def test_signing_out_takes_the_cookie_and_what_the_browser_stored(browser: TestClient) -> None:
    headers = csrf(sign_in(browser))

    answer = browser.post("/api/logout", headers=headers)

    assert answer.status_code == 204
    assert answer.headers["clear-site-data"]
    assert "__Host-twinlock" not in {cookie.name for cookie in browser.cookies.jar}
    assert browser.get("/items").status_code == 401


def test_a_copied_cookie_is_dead_after_signing_out(browser: TestClient) -> None:
    headers = csrf(sign_in(browser))
    stolen = browser.cookies["__Host-twinlock"]

    browser.post("/api/logout", headers=headers)

    assert browser.get("/items", headers={"Cookie": f"__Host-twinlock={stolen}"}).status_code == 401


def test_a_cookie_session_is_no_bearer_token_and_the_other_way_round(browser: TestClient) -> None:
    sign_in(browser)
    cookie = browser.cookies["__Host-twinlock"]
    browser.cookies.clear()
    body = {"username": "johndoe", "password": PASSWORD}
    token = browser.post("/api/login", json=body).json()["access_token"]

    assert browser.get("/items", headers={"Authorization": f"Bearer {cookie}"}).status_code == 401
    assert browser.get("/items", headers={"Cookie": f"__Host-twinlock={token}"}).status_code == 401


def test_a_cookie_session_ends_after_an_hour_unused(
    sqlite_house: House, browser: TestClient
) -> None:
    sign_in(browser)

    sqlite_house.clock.advance(minutes=59)
    assert browser.get("/items").status_code == 200
    sqlite_house.clock.advance(minutes=59)
    assert browser.get("/items").status_code == 200
    sqlite_house.clock.advance(minutes=60)
    assert browser.get("/items").status_code == 401


def test_a_cookie_session_ends_after_twelve_hours_in_any_case(
    sqlite_house: House, browser: TestClient
) -> None:
    sign_in(browser)
    for _ in range(14):
        sqlite_house.clock.advance(minutes=50)
        assert browser.get("/items").status_code == 200

    sqlite_house.clock.advance(minutes=21)

    assert browser.get("/items").status_code == 401


def test_a_step_up_moves_a_cookie_session_to_a_new_cookie(
    sqlite_house: House, browser: TestClient
) -> None:
    """ASVS 5.0 7.2.4: a new token on reauthentication, and the old one is dead."""
    headers = csrf(sign_in(browser))
    old = browser.cookies["__Host-twinlock"]
    sqlite_house.clock.advance(minutes=11)

    begun = browser.post("/api/reauthenticate", json={}, headers=headers).json()
    answer = browser.post(
        "/api/reauthenticate/password",
        json={"reauthentication": begun["reauthentication"], "answer": PASSWORD},
        headers=headers,
    )

    assert answer.status_code == 200
    assert browser.cookies["__Host-twinlock"] != old
    assert browser.get("/items").status_code == 200
    browser.cookies.clear()
    assert browser.get("/items", headers={"Cookie": f"__Host-twinlock={old}"}).status_code == 401


def test_a_known_browser_is_remembered_only_where_there_is_a_browser(browser: TestClient) -> None:
    body = {"username": "johndoe", "password": PASSWORD}

    api_client = browser.post("/api/login", json=body)
    page = browser.post("/api/login", json=body, headers=OWN)

    assert "set-cookie" not in api_client.headers
    assert "__Host-twinlock-known=" in page.headers["set-cookie"]


def test_the_known_cookie_signs_nobody_in(browser: TestClient) -> None:
    sign_in(browser)
    known = browser.cookies["__Host-twinlock-known"]
    browser.cookies.clear()

    for name in ("__Host-twinlock", "__Host-twinlock-known"):
        assert browser.get("/items", headers={"Cookie": f"{name}={known}"}).status_code == 401


def test_a_planted_known_cookie_never_becomes_known(browser: TestClient) -> None:
    planted = {"Cookie": "__Host-twinlock-known=chosen-by-an-attacker"}

    sign_in(browser, **planted)

    assert browser.cookies["__Host-twinlock-known"] != "chosen-by-an-attacker"


def test_a_known_browser_keeps_its_cookie(browser: TestClient) -> None:
    sign_in(browser)
    known = browser.cookies["__Host-twinlock-known"]

    sign_in(browser)

    assert browser.cookies["__Host-twinlock-known"] == known


def test_a_listed_origin_gets_tokens_and_no_cookie(sqlite_house: House) -> None:
    """Else its page could sign a visitor of ours in to another account."""
    page = "https://app.example"
    house = sqlite_house.again(cors_origins=[page])
    body = {"username": "johndoe", "password": PASSWORD}
    guest, own = {"Origin": page}, {"Origin": BASE_URL}
    with house.open() as client:
        house.create()
        phone = house.enroll(client).phone
        house.clock.advance(seconds=30)
        handle = client.post("/api/login", json=body, headers=guest).json()["login"]
        answer = {"login": handle, "answer": phone.code(house.now)}
        passkey = {"login": "x" * 43, "answer": "{}"}

        def status(path: str, headers: dict[str, str], **given: str) -> int:
            asked = {**given, "transport": "cookie"}
            return client.post(path, json=asked, headers=headers).status_code

        assert status("/api/login", guest, **body) == 403
        assert status("/api/login/totp", guest, **answer) == 403
        assert status("/api/passkey/finish", guest, **passkey) == 403
        assert status("/api/enrollment/totp/confirm", guest, enrollment="x" * 43, **answer) == 403
        assert status("/api/login/totp", own, **answer) == 200
