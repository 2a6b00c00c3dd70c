"""The shape of errors, whichever layer gives them (contract.md, section 1)."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.support.home import Home
from twinlock import Twinlock
from twinlock.testing.authenticator import FakeAuthenticator

SIGNED_IN = ["/api/logout", "/api/factors/recovery_codes", "/api/factors/totp"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/api/login", "/token", "/revoke", "/api/passkey/begin"])
def test_a_method_that_a_path_does_not_know(standing: Home, path: str, method: str) -> None:
    response = standing.client.request(method, path)

    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert "POST" in response.headers["allow"]
    assert response.json()["type"] == "method_not_allowed"


@pytest.mark.parametrize("prefix", ["", "/auth"])
def test_a_method_that_a_path_does_not_know_in_an_app_of_the_host(home: Home, prefix: str) -> None:
    app = FastAPI()
    Twinlock(home.house.settings, clock=home.house.clock).install(app, prefix=prefix)
    with TestClient(app) as client:
        response = client.put(f"{prefix}/api/login")

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["type"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/api/nothing", "/token/x", "/users/me/"])
def test_a_path_that_nobody_knows(standing: Home, path: str) -> None:
    response = standing.client.delete(path)

    assert response.status_code == 404 or path == "/"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/passkey/begin", *SIGNED_IN])
@pytest.mark.parametrize("more", [0, 1])
def test_a_body_that_no_route_reads_is_capped_as_well(home: Home, path: str, more: int) -> None:
    head, tail = b'{"pad":"', b'"}'
    body = head + b"x" * (65_536 + more - len(head) - len(tail)) + tail
    headers = {**home.john.bearer, "Content-Type": "application/json"}
    if path not in SIGNED_IN:
        del headers["Authorization"]

    response = home.client.post(path, content=body, headers=headers)

    assert (response.status_code == 413) is bool(more), response.text


def test_a_length_of_a_million_digits_is_too_large(standing: Home) -> None:
    headers = {"Content-Length": "9" * 10_000, "Content-Type": "application/json"}
    response = standing.client.post("/api/login", content=b"{}", headers=headers)

    assert response.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"username":"a","username":"b","password":"c"}',
        b'{"username":"a","password":"c","more":NaN}',
        b'{"username":"a","password":"c","more":-Infinity}',
        b'{"username":"a","password":"c","more":1e999}',
        b'{"username":"a","password":"c","more":' + b"9" * 5_000 + b"}",
        b'{"username":"a","password":"c","more":' + b"[" * 9_000 + b"]" * 9_000 + b"}",
        b'{"username":"\\ud800","password":"c"}',
        b'{"username":"a","password":"\\udfff"}',
        b'\xef\xbb\xbf{"username":"a","password":"c"}',
        b'{"username":"a\xff","password":"c"}',
        '{"username":"a","password":"c"}'.encode("utf-16"),
        b'{"username":"a","password":"c"} x',
        b'{"username":"a","password":"c",}',
        b"{'username':'a','password':'c'}",
    ],
)
def test_what_is_not_strictly_json(standing: Home, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = standing.client.post("/api/login", content=body, headers=headers)

    problem = response.json()
    assert (response.status_code, problem["type"]) == (400, "malformed_json")
    assert problem["detail"].startswith(("The body is not ", "The body is nested"))
    assert response.headers["cache-control"] == "no-store"


def test_a_step_up_to_a_passkey_offers_nothing_weaker(home: Home) -> None:
    key = FakeAuthenticator()
    tokens = home.house.enroll_passkey(home.client, key, home.john.tokens)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}

    begun = home.client.post("/api/reauthenticate", json={"acr": "phr"}, headers=headers).json()

    (offered,) = begun["methods"]
    assert offered["method"] == "passkey"
    answer = {
        "reauthentication": begun["reauthentication"],
        "answer": key.get(offered["options"]),
    }
    stepped = home.client.post("/api/reauthenticate/passkey", json=answer, headers=headers)
    assert stepped.json()["acr"] == "phr"


def test_a_step_up_to_a_passkey_takes_nothing_weaker(home: Home) -> None:
    key = FakeAuthenticator()
    tokens = home.house.enroll_passkey(home.client, key, home.john.tokens)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    begun = home.client.post("/api/reauthenticate", json={"acr": "phr"}, headers=headers).json()
    code = home.code()
    answer = {"reauthentication": begun["reauthentication"], "answer": code}

    refused = home.client.post("/api/reauthenticate/totp", json=answer, headers=headers)
    again = home.client.post("/api/reauthenticate/totp/begin", json=answer, headers=headers)

    assert (refused.status_code, again.status_code) == (401, 401)
    handle = home.begin()
    assert home.answer(handle, code).status_code == 200  # nothing was spent


def test_a_page_of_a_listed_origin_may_use_every_method_of_ours(
    settle: Callable[..., Home],
) -> None:
    client = settle(cors_origins=["https://app.example"]).client
    described = client.get("/openapi.json").json()["paths"].values()

    for method in sorted({method.upper() for path in described for method in path}):
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": method}
        preflight = client.options("/api/admin/policies", headers=asked)
        assert (preflight.status_code, method) == (200, method)
        assert "access-control-allow-credentials" not in preflight.headers
