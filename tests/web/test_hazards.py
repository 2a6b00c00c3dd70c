"""Hazards of this stack, each tried at our doors in our server and in a plain host."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.house import PASSWORD
from tests.web.conftest import Door

JSON = {"Content-Type": "application/json"}
FORM = "application/x-www-form-urlencoded"

JSON_PATHS = ["/api/login", "/api/login/totp", "/api/login/totp/begin"]

SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    "body",
    [
        {"username": "johndoe", "password": {"nested": SECRET}},
        {"username": ["johndoe"], "password": SECRET},
        {"password": SECRET},
        {"username": "x" * 2_000, "password": SECRET},
        [SECRET],
        SECRET,
    ],
    ids=["wrong type", "name of wrong type", "missing", "too long", "list", "text"],
)
def test_an_invalid_body_is_answered_without_what_was_submitted(door: Door, body: Any) -> None:
    answer = door.post("/api/login", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"username":"\ud800","password":"x"}',
        rb'{"username":"johndoe","password":"\udfff"}',
        b'{"username":"johndoe","password":NaN}',
        b'{"username":"johndoe","password":"x","n":Infinity}',
        b'{"username":"johndoe","password":"x","n":1e999}',
        b'{"username":"johndoe","password":"x","n":' + b"9" * 5_000 + b"}",
        b'{"username":"johndoe","username":"alice","password":"x"}',
        b'{"username":"johndoe","password":"x","ignored":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"username":"johndoe","password":"x","ignored":' + b'{"a":' * 40 + b"1" + b"}" * 41,
        b'{"username":"\xff\xfe","password":"x"}',
        b'{"username":',
        b"",
        b"\x00",
        b"[]",
        b"null",
        b'"\\ud800"',
    ],
    ids=lambda raw: repr(raw[:44]),
)
@pytest.mark.parametrize("path", JSON_PATHS)
def test_malformed_json_is_refused_and_never_an_error_of_ours(
    door: Door, path: str, raw: bytes
) -> None:
    answer = door.post(path, content=raw, headers=JSON)

    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_json_without_its_content_type_is_not_read(door: Door) -> None:
    door.house.create()
    body = json.dumps({"username": "johndoe", "password": PASSWORD})

    answer = door.post("/api/login", content=body, headers={"Content-Type": "text/plain"})

    assert answer.status_code == 422


@pytest.mark.parametrize("path", ["/api/login", "/token", "/revoke"])
def test_a_body_above_the_limit_is_refused_unread(door: Door, path: str) -> None:
    kind = JSON if "api" in path else {"Content-Type": FORM}

    just_above = door.post(path, content=b"a" * 65_537, headers=kind)
    chunked = door.post(path, content=iter([b"a" * 40_000, b"a" * 40_000]), headers=kind)

    assert (just_above.status_code, chunked.status_code) == (413, 413)


def test_nesting_up_to_the_limit_is_read(door: Door) -> None:
    raw = b'{"username":"a","password":"b","x":' + b"[" * 15 + b"]" * 15 + b"}"

    assert door.post("/api/login", content=raw, headers=JSON).status_code == 401


@pytest.mark.parametrize("digits", ["１２３４５６", "١٢٣٤٥٦", "۱۲۳۴۵۶"])
def test_digits_of_other_scripts_after_a_password_are_no_code(door: Door, digits: str) -> None:
    """Only ASCII digits are split off; the rest is the password, as received."""
    door.house.create(password=PASSWORD + digits)

    assert door.sign_in("johndoe", PASSWORD + digits)


def test_a_trailing_slash_is_not_found_and_redirects_nowhere(door: Door) -> None:
    for path in ("/token/", "/users/me/", "/api/login/", "/api/factors/", "/api/sessions/x/"):
        answer = door.post(path, headers={"Host": "evil.example"}, follow_redirects=False)

        assert answer.status_code in {404, 400}, path
        assert "location" not in answer.headers


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "x" * 100_000, "%", "\u202e", "🔑"])
def test_any_text_is_a_name_that_nobody_has(door: Door, text: str) -> None:
    form = {"grant_type": "password", "username": text, "password": text}

    answer = door.post(
        "/token", content=urlencode(form, errors="surrogatepass"), headers={"Content-Type": FORM}
    )

    assert answer.status_code in {400, 413}
    assert answer.json()["error"] in {"invalid_grant", "invalid_request"}


@pytest.mark.parametrize(
    "path", ["/api/factors/%00", "/api/sessions/%ED%A0%80", "/api/sessions/%F0"]
)
def test_any_text_in_a_path_is_not_found(door: Door, path: str) -> None:
    door.house.create()
    headers = door.sign_in("johndoe", PASSWORD)

    answer = door.client.request("DELETE", door.path(path), headers=headers)

    assert answer.status_code == 404


def test_huge_numbers_in_a_query_are_refused(door: Door) -> None:
    door.house.create()
    headers = door.sign_in("johndoe", PASSWORD)

    for query in ("limit=" + "9" * 30, "limit=-1", "limit=NaN", "cursor=" + "g" * 32, "cursor=%00"):
        assert door.get(f"/api/events?{query}", headers=headers).status_code == 422


def test_no_answer_of_ours_may_be_cached(door: Door) -> None:
    door.house.create()
    headers = door.sign_in("johndoe", PASSWORD)

    answers = [
        door.post("/token", data={"grant_type": "password"}),
        door.post("/api/login", json={}),
        door.get("/users/me", headers=headers),
        door.get("/users/me"),
        door.get("/api/account", headers=headers),
    ]

    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


def test_trace_and_unknown_methods_are_not_supported(door: Door) -> None:
    assert door.client.request("TRACE", door.path("/token")).status_code == 405
    assert door.client.request("BREW", door.path("/token")).status_code == 405
