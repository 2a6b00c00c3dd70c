"""``POST /token``: what is a request, and what each grant answers."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.support.home import WRONG_CODE, WRONG_PASSWORD, Home, told
from tests.support.house import BASE_URL, PASSWORD, House, bearer, sign_in, token
from twinlock.app import Twinlock
from twinlock.tokens import access_token

FORM = "application/x-www-form-urlencoded"
OTHER_PASSWORD = "another horse battery staple"


@pytest.fixture
def client(standing: Home) -> TestClient:
    """For requests that are refused before anything is counted or changed."""
    return standing.client


def post(client: TestClient, body: str | bytes, content_type: str | None = FORM) -> Any:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return client.post("/token", content=body, headers=headers)


def password_form(**more: str) -> dict[str, str]:
    return {"grant_type": "password", "username": "johndoe", "password": PASSWORD, **more}


# --- What a request is ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "username=johndoe&password=x",
        "grant_type=&username=johndoe&password=x",
        "grant_type=client_credentials",
        "grant_type=authorization_code&code=x",
        "grant_type=Password&username=johndoe&password=x",
        "grant_type=password%00&username=johndoe&password=x",
        "grant_type=urn:twinlock:params:oauth:grant-type:mfa",
        "",
    ],
)
def test_a_missing_or_unknown_grant_is_not_supported(client: TestClient, body: str) -> None:
    """RFC 6749 section 5.2."""
    response = post(client, body)

    assert response.status_code == 400
    assert response.json()["error"] == "unsupported_grant_type"


def test_a_request_without_any_field_has_no_grant(client: TestClient) -> None:
    """A client library sends no content type where there is no content."""
    response = client.post("/token")

    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("field", ["grant_type", "username", "password", "otp", "x"])
def test_a_repeated_field_is_refused(client: TestClient, field: str) -> None:
    """RFC 6749 section 3.2: request parameters must not be included more than once."""
    body = f"grant_type=password&username=johndoe&password=x&{field}=a&{field}=a"

    response = post(client, body)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        "grant_type=password",
        "grant_type=password&username=johndoe",
        "grant_type=password&password=x",
        "grant_type=password&username=&password=x",
        "grant_type=password&username=johndoe&password=",
        "grant_type=password&username=johndoe&password",
        "grant_type=refresh_token",
        "grant_type=refresh_token&refresh_token=",
        "grant_type=urn:twinlock:params:oauth:grant-type:second-factor",
        "grant_type=urn:twinlock:params:oauth:grant-type:second-factor&mfa_token=x&method=totp",
        "grant_type=urn:twinlock:params:oauth:grant-type:second-factor&mfa_token=x&answer=1",
        "grant_type=urn:twinlock:params:oauth:grant-type:second-factor&method=totp&answer=1",
    ],
)
def test_a_missing_field_is_refused(client: TestClient, body: str) -> None:
    response = post(client, body)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "text/plain", "multipart/form-data; boundary=x", FORM + "x"],
)
def test_a_body_that_is_no_form_is_refused(client: TestClient, content_type: str | None) -> None:
    response = post(client, "grant_type=password&username=johndoe&password=x", content_type)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("content_type", [FORM.upper(), FORM + "; charset=utf-8", FORM + " ;a=b"])
def test_a_form_may_name_its_charset(home: Home, content_type: str) -> None:
    body = f"grant_type=password&username=johndoe&password={PASSWORD}{home.code()}"

    response = post(home.client, body.replace(" ", "+"), content_type)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "value",
    ["%ff", "%ED%A0%80", "%C0%80", b"\xff", "é".encode()],
    ids=["byte", "surrogate", "overlong", "raw byte", "raw UTF-8"],
)
@pytest.mark.parametrize("field", ["username", "password", "unknown"])
def test_what_is_not_utf_8_in_a_form_is_refused(
    client: TestClient, field: str, value: str | bytes
) -> None:
    fields = {"grant_type": b"password", "username": b"johndoe", "password": b"x"}
    fields[field] = value.encode() if isinstance(value, str) else value
    body = b"&".join(name.encode() + b"=" + value for name, value in fields.items())

    response = post(client, body)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("password", ["100%", "%zz", "%", "%4", "a%00b", "a&", "=", "%F0%9F%94%91"])
def test_odd_percent_signs_are_a_wrong_password(client: TestClient, password: str) -> None:
    response = post(client, f"grant_type=password&username=johndoe&password=x{password}")

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("fields, status", [(32, 200), (33, 400)])
def test_a_form_has_at_most_32_fields(home: Home, fields: int, status: int) -> None:
    form = password_form(otp=home.code())
    form |= {f"extra{number}": "x" for number in range(fields - len(form))}

    response = home.client.post("/token", data=form)

    assert response.status_code == status
    assert status == 200 or response.json()["error"] == "invalid_request"


def test_parameters_in_the_url_are_refused(home: Home) -> None:
    """RFC 6749 section 2.3.1: they must not be included in the request URI."""
    response = home.client.post("/token?scope=x", data=password_form(otp=home.code()))

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_a_body_too_large_is_told_in_the_words_of_oauth(client: TestClient) -> None:
    response = post(client, "grant_type=password&username=johndoe&password=" + "x" * 70_000)

    assert (response.status_code, response.json()["error"]) == (413, "invalid_request")


@pytest.mark.parametrize("authorization", ["Basic dHdpbmxvY2s6", "Basic ???", "Bearer x", "x"])
def test_an_authorization_header_changes_nothing(home: Home, authorization: str) -> None:
    """The one client is public: it has nothing to authenticate with."""
    form = password_form(otp=home.code(), client_id="string", client_secret="string")

    response = home.client.post("/token", data=form, headers={"Authorization": authorization})

    assert response.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_asks_for_tokens(client: TestClient, method: str) -> None:
    """RFC 6749 section 3.2: the client must use POST."""
    assert client.request(method, "/token").status_code == 405


def test_no_answer_may_be_stored(home: Home) -> None:
    """RFC 6749 section 5.1."""
    answers = [home.token(PASSWORD, otp=home.code()), home.token("x"), post(home.client, "")]

    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert {answer.headers["pragma"] for answer in answers} == {"no-cache"}


# --- The password grant ---------------------------------------------------------------------


def test_tokens_are_told_as_oauth_has_them(home: Home) -> None:
    """RFC 6749 section 5.1."""
    body = home.token(PASSWORD, otp=home.code()).json()

    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("bearer", 600, "")
    assert home.client.get("/users/me", headers=bearer(body)).status_code == 200


def test_the_access_token_says_how_its_owner_signed_in(home: Home) -> None:
    """RFC 9068 section 2.2.1."""
    body = home.token(PASSWORD, otp=home.code()).json()

    claims = home.house.runtime.sight.claims_of(body["access_token"])

    assert isinstance(claims, access_token.AccessClaims)
    assert (claims.acr, claims.amr) == ("aal2", ("pwd", "otp", "mfa"))
    assert claims.auth_time == home.house.now
    assert claims.subject == home.john.account.subject


def test_a_recovery_code_is_no_method_of_rfc_8176(home: Home) -> None:
    body = home.token(PASSWORD, otp=home.recovery_code()).json()

    claims = home.house.runtime.sight.claims_of(body["access_token"])

    assert claims is not None
    assert (claims.acr, claims.amr) == ("aal2", ("pwd", "mfa"))


def test_a_right_password_without_a_code_is_told_what_is_missing(home: Home) -> None:
    response = home.token(PASSWORD)

    body = response.json()
    assert response.status_code == 403
    assert set(body) == {"error", "error_description", "mfa_token", "expires_in", "methods"}
    assert (body["error"], body["expires_in"]) == ("mfa_required", 300)
    assert body["methods"] == [{"method": "totp"}, {"method": "recovery_codes"}]


def test_an_account_without_a_second_factor_signs_in_with_its_password(home: Home) -> None:
    home.house.create("alice")

    body = home.token(PASSWORD, "alice").json()

    claims = home.house.runtime.sight.claims_of(body["access_token"])
    assert claims is not None
    assert (claims.acr, claims.amr) == ("aal1", ("pwd",))


def test_the_password_grant_can_be_switched_off(settle: Callable[..., Home]) -> None:
    home = settle(password_grant_enabled=False)

    response = home.token(PASSWORD, otp=home.code())

    metadata = home.client.get("/.well-known/oauth-authorization-server").json()
    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")
    assert "password" not in metadata["grant_types_supported"]


def test_without_the_password_grant_the_others_go_on(settle: Callable[..., Home]) -> None:
    home = settle(password_grant_enabled=False)
    handle = home.begin()

    signed_in = home.grant(handle, home.code()).json()
    refreshed = home.client.post(
        "/token", data={"grant_type": "refresh_token", "refresh_token": signed_in["refresh_token"]}
    )

    assert refreshed.status_code == 200


@pytest.mark.parametrize("name", ["JohnDoe", "JOHNDOE", "ｊｏｈｎｄｏｅ", " johndoe ", "johndoe."])
def test_a_name_is_the_same_in_other_case_and_width(home: Home, name: str) -> None:
    assert home.token(PASSWORD, name, otp=home.code()).status_code == 200


@pytest.mark.parametrize("name", ["johndoe@example.com", "JohnDoe@EXAMPLE.com"])
def test_a_verified_address_signs_in(home: Home, name: str) -> None:
    assert home.token(PASSWORD, name, otp=home.code()).status_code == 200


def test_an_unverified_address_does_not_sign_in(home: Home) -> None:
    home.house.create("alice", is_email_verified=False)

    by_address = home.token(PASSWORD, "alice@example.com")
    by_name = home.token(PASSWORD, "alice")

    assert (by_address.status_code, by_address.json()["error"]) == (400, "invalid_grant")
    assert by_name.status_code == 200


def test_a_disabled_account_is_denied(home: Home) -> None:
    home.house.create("alice", is_disabled=True)

    response = home.token(PASSWORD, "alice")

    assert told(response) == told(home.token(PASSWORD, "nobody"))


# --- Scopes ---------------------------------------------------------------------------------


@pytest.fixture
def scoped(sqlite_house: House) -> House:
    """A host that knows two scopes."""
    app = FastAPI()
    app.state.twinlock = Twinlock(
        sqlite_house.settings, scopes=["items:read", "items:write"], clock=sqlite_house.clock
    )
    app.state.twinlock.install(app)
    sqlite_house.app = app
    return sqlite_house


def test_the_scope_asked_for_is_granted(scoped: House) -> None:
    with scoped.open() as client:
        scoped.create()

        tokens = sign_in(client, scope="items:write items:read items:write")

    assert tokens["scope"] == "items:write items:read"


@pytest.mark.parametrize("scope", ["items:delete", "items:read admin", "ITEMS:READ", '"'])
def test_a_scope_that_nobody_knows_is_refused(scoped: House, scope: str) -> None:
    """RFC 6749 section 5.2, whatever the password."""
    with scoped.open() as client:
        scoped.create()

        answers = [token(client, "johndoe", any_, scope=scope) for any_ in (PASSWORD, "x")]

    assert told(answers[0]) == told(answers[1])
    assert (answers[0].status_code, answers[0].json()["error"]) == (400, "invalid_scope")


def test_a_scope_outlives_the_second_step(scoped: House) -> None:
    with scoped.open() as client:
        scoped.create()
        enrolled = scoped.enroll(client)
        required = token(client, "johndoe", PASSWORD, scope="items:read").json()
        scoped.clock.advance(seconds=30)

        tokens = client.post(
            "/token",
            data={
                "grant_type": "urn:twinlock:params:oauth:grant-type:second-factor",
                "mfa_token": required["mfa_token"],
                "method": "totp",
                "answer": enrolled.phone.code(scoped.now),
                "scope": "items:write",
            },
        ).json()

    assert tokens["scope"] == "items:read"


# --- The second-factor grant ----------------------------------------------------------------


@pytest.mark.parametrize("method", ["totp", "recovery_codes"])
def test_a_pending_login_goes_on_at_the_token_endpoint(home: Home, method: str) -> None:
    mfa_token = home.token(PASSWORD).json()["mfa_token"]
    answer = home.code() if method == "totp" else home.recovery_code()

    response = home.grant(mfa_token, answer, method)

    assert response.status_code == 200
    assert home.client.get("/users/me", headers=bearer(response.json())).status_code == 200


def test_a_pending_login_may_change_its_door(home: Home) -> None:
    """``mfa_token`` and ``login`` are the same thing under two names."""
    begun_here, begun_there = home.begin(), home.token(PASSWORD).json()["mfa_token"]

    first = home.grant(begun_here, home.code())
    second = home.answer(begun_there, home.code())

    assert (first.status_code, second.status_code) == (200, 200)


def test_a_denied_answer_is_an_invalid_grant(home: Home) -> None:
    handle = home.begin()
    answers = [
        home.grant(handle, WRONG_CODE),
        home.grant(handle, "x", "passkey"),
        home.grant(handle, "x", "nonsense"),
        home.grant("nobody's", WRONG_CODE),
    ]

    assert {told(answer) == told(home.token("x")) for answer in answers} == {True}


# --- Refreshing after a change --------------------------------------------------------------


def test_a_wrong_password_leaves_no_session(home: Home) -> None:
    before = len(sessions_of(home))

    home.token(WRONG_PASSWORD, otp=home.code())

    assert len(sessions_of(home)) == before


def test_a_right_password_with_a_wrong_code_leaves_no_session(home: Home) -> None:
    before = len(sessions_of(home))

    home.token(PASSWORD, otp=WRONG_CODE)

    assert len(sessions_of(home)) == before


def sessions_of(home: Home) -> list[Any]:
    body = home.client.get("/api/sessions", headers=home.john.bearer).json()
    found: list[Any] = body["sessions"]
    return found


def test_the_metadata_names_the_endpoint(client: TestClient) -> None:
    """RFC 8414 section 2."""
    body = client.get("/.well-known/oauth-authorization-server").json()

    assert body["token_endpoint"] == f"{BASE_URL}/token"
