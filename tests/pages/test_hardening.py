"""What other sites, planted cookies and odd requests can do to pages: nothing."""

import re
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import SITE, Browser
from tests.support.house import BASE_URL, PASSWORD, Enrolled, House

OWN = {"Origin": BASE_URL}


def forms(browser: Browser) -> dict[str, str]:
    browser.open("/login")
    return {**browser.form().fields, "username": "johndoe", "password": PASSWORD}


def test_another_site_signs_nobody_in(browser: Browser) -> None:
    fields = forms(browser)

    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = browser.client.post("/login", data=fields, headers=headers)
        assert answer.status_code == 403
        assert "__Host-twinlock" not in browser.client.cookies


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é"])
def test_a_sign_in_needs_the_token_of_its_page(browser: Browser, token: str | None) -> None:
    fields = forms(browser)
    del fields["csrf"]
    if token is not None:
        fields["csrf"] = token

    answer = browser.client.post("/login", data=fields, headers=OWN)

    assert answer.status_code == 403
    assert "This page was open for too long." in answer.text
    assert 'value="johndoe"' in answer.text
    assert PASSWORD not in answer.text


def test_a_token_belongs_to_one_browser(sqlite_house: House, browser: Browser) -> None:
    stolen = forms(browser)
    other = Browser(sqlite_house.client())
    other.open("/login")

    answer = other.client.post("/login", data=stolen, headers=OWN)

    assert answer.status_code == 403


def test_every_form_inside_needs_the_session_token(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    factor = enrolled.tokens["factor"]["id"]
    for path in (
        "/logout",
        "/account/password",
        "/factors/totp",
        "/factors/totp/confirm",
        f"/factors/{factor}/remove",
        f"/factors/{factor}/rename",
        "/factors/recovery_codes",
        "/factors/recovery_codes/check",
        "/reauthenticate/totp",
        "/sessions/others/end",
        f"/sessions/{'0' * 32}/end",
    ):
        without = browser.client.post(path, data={"label": "x"}, headers=OWN)
        other = browser.client.post(path, data={"csrf": "0" * 64}, headers=OWN)
        foreign = browser.client.post(
            path,
            data={"csrf": browser.form("/logout").fields["csrf"]},
            headers={"Origin": "https://evil.example"},
        )
        assert [one.status_code for one in (without, other, foreign)] == [403, 403, 403], path
    browser.open("/account")
    assert "10 of 10 codes left" in browser.text


@pytest.mark.parametrize("path", ["/login", "/logout", "/account", "/nothing", "/login/totp"])
def test_every_page_carries_the_headers(browser: Browser, path: str) -> None:
    page = browser.open(path)

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "base-uri 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert not browser.read().inline


def test_files_are_kept_for_ever_and_named_by_what_is_in_them(browser: Browser) -> None:
    browser.open("/login")
    files = [link for link in browser.read().links if link.startswith("/static/")]

    assert len(files) >= 4
    for file in files:
        answer = browser.client.get(file)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert re.search(r"\.[0-9a-f]{12}\.", file)
    missing = browser.client.get("/static/..%2fapp.css", headers={"Accept": "text/html"})
    assert missing.status_code == 404


def test_the_sign_in_page_is_light(browser: Browser) -> None:
    """Goal P9: at most 20 KB over the wire in all."""
    page = browser.open("/login")
    total = len(page.content)
    for link in {link for link in browser.read().links if link.startswith("/static/")}:
        with browser.client.stream("GET", link, headers={"Accept-Encoding": "gzip"}) as answer:
            total += sum(len(chunk) for chunk in answer.iter_raw())

    assert total <= 20_000
    assert all(urlsplit(link).netloc == "" for link in browser.read().links)


def test_two_session_cookies_open_nothing(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    secret = browser.client.cookies["__Host-twinlock"]
    fresh = sqlite_house.client()
    fresh.base_url = SITE

    answer = fresh.get(
        "/account", headers={"Cookie": f"__Host-twinlock={secret}; __Host-twinlock=planted"}
    )

    assert answer.status_code == 400


def test_odd_forms_are_refused_with_a_page(browser: Browser) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", **OWN}
    for content, status in (
        (b"username=a&username=b", 400),
        (b"username=%ff", 400),
        (b"\xff", 400),
        (b"&".join(b"f%d=1" % n for n in range(99)), 400),
        (b"x=" + b"y" * 2_000_000, 413),
    ):
        answer = browser.client.post("/login", content=content, headers=form)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
    as_json = browser.client.post("/login", json={"username": "a"}, headers=OWN)
    assert as_json.status_code == 415


def test_the_api_still_answers_with_problems(browser: Browser, client: TestClient) -> None:
    missing = client.get("/api/nothing", headers={"Accept": "text/html"})

    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"


def test_without_pages_there_is_the_api_alone(sqlite_house: House) -> None:
    bare = sqlite_house.again(pages_enabled=False)

    with bare.open() as client:
        assert client.get("/login", headers={"Accept": "text/html"}).status_code in {404, 405}
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("answer", ["", "{}", "[]", "null", '{"id":1}', "{" * 500, "\x00", "é"])
def test_an_answer_that_is_no_passkey_opens_nothing(browser: Browser, answer: str) -> None:
    browser.open("/login")
    form = browser.form("/passkey")
    browser.send("/passkey", answer=answer)
    assert "The passkey could not be checked." in browser.text

    forged = browser.client.post(
        "/passkey", data={**form.fields, "answer": answer, "csrf": "0"}, headers=OWN
    )

    assert forged.status_code in {200, 303}
    assert "__Host-twinlock" not in browser.client.cookies
