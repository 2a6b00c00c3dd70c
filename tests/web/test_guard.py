"""Who a request speaks for, in a host's own routes."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.support.house import BASE_URL, OPERATOR, PASSWORD, House, bearer, sign_in
from tests.web.conftest import host_app
from twinlock import CurrentUser


@pytest.fixture
def headers(sqlite_house: House, host: TestClient) -> dict[str, str]:
    """The Authorization header of johndoe, signed in with a password."""
    sqlite_house.create()
    return bearer(sign_in(host))


def test_a_user_is_let_in_and_nobody_is_not(host: TestClient, headers: dict[str, str]) -> None:
    assert host.get("/items", headers=headers).json() == {"owner": "johndoe"}
    nobody = host.get("/items")
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == "Bearer"


def test_optional_means_nobody_but_not_anybody(host: TestClient, headers: dict[str, str]) -> None:
    assert host.get("/maybe").json() == {"user": None}
    assert host.get("/maybe", headers=headers).json() == {"user": "johndoe"}
    assert host.get("/maybe", headers={"Authorization": "Bearer nonsense"}).status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer " + "a" * 9_000,
        "bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer \xff\xfe",
    ],
    ids=repr,
)
def test_what_is_no_token_opens_nothing(host: TestClient, authorization: str) -> None:
    answer = host.get("/items", headers={b"Authorization": authorization.encode("latin-1")})

    assert answer.status_code == 401


@pytest.mark.parametrize("scheme", ["Basic dXNlcjpwYXNz", "Digest x", "DPoP x"])
def test_other_schemes_are_no_credentials(host: TestClient, scheme: str) -> None:
    assert host.get("/items", headers={"Authorization": scheme}).status_code == 401


def test_the_scheme_may_be_written_in_any_case(host: TestClient, headers: dict[str, str]) -> None:
    token = headers["Authorization"].removeprefix("Bearer ")

    assert host.get("/items", headers={"Authorization": f"bEaReR {token}"}).status_code == 200


def test_a_weaker_proof_is_answered_with_a_step_up_challenge(
    host: TestClient, headers: dict[str, str]
) -> None:
    """RFC 9470 section 3."""
    answer = host.post("/transfer", headers=headers)

    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="aal2"' in challenge
    assert 'max_age="300"' in challenge


def test_a_second_factor_satisfies_until_it_is_too_old(
    sqlite_house: House, host: TestClient
) -> None:
    sqlite_house.create()
    enrolled = sqlite_house.enroll(host)

    assert host.post("/transfer", headers=enrolled.bearer).status_code == 200
    sqlite_house.clock.advance(minutes=5)
    assert host.post("/transfer", headers=enrolled.bearer).status_code == 200
    sqlite_house.clock.advance(seconds=1)
    assert host.post("/transfer", headers=enrolled.bearer).status_code == 401


def test_roles_are_read_from_the_database_and_not_from_the_token(
    sqlite_house: House, host: TestClient, headers: dict[str, str]
) -> None:
    assert host.get("/admin", headers=headers).status_code == 403

    sqlite_house.administration.change(
        sqlite_house.account(), OPERATOR, roles=["admin"], now=sqlite_house.now
    )

    assert host.get("/admin", headers=headers).status_code == 401  # roles end sessions
    assert host.get("/admin", headers=bearer(sign_in(host))).status_code == 200


def test_a_scope_must_be_in_the_token(host: TestClient, headers: dict[str, str]) -> None:
    scoped = bearer(sign_in(host, scope="items:read"))

    assert host.get("/scoped", headers=scoped).status_code == 200
    refused = host.get("/scoped", headers=headers)
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


def test_a_recovery_code_is_no_otp(sqlite_house: House, host: TestClient) -> None:
    """It gives aal2 and satisfies no demand for a method."""
    sqlite_house.create()
    enrolled = sqlite_house.enroll(host)

    recovered = bearer(sign_in(host, otp=enrolled.recovery_codes[0]))

    assert host.post("/transfer", headers=recovered).status_code == 200
    for demanded in ("/by-otp", "/by-two"):
        assert host.get(demanded, headers=recovered).status_code == 401
        assert host.get(demanded, headers=enrolled.bearer).status_code == 200


def test_more_than_one_credential_is_refused(host: TestClient, headers: dict[str, str]) -> None:
    twice = [("Authorization", headers["Authorization"])] * 2
    both = {**headers, "Cookie": "__Host-twinlock=abc"}

    assert host.get("/items", headers=twice).status_code == 400
    assert host.get("/items", headers=both).status_code == 400
    assert (
        host.get("/items", headers={"Cookie": "__Host-twinlock=a; __Host-twinlock=b"}).status_code
        == 400
    )


def test_a_token_in_the_url_is_refused(host: TestClient, headers: dict[str, str]) -> None:
    token = headers["Authorization"].removeprefix("Bearer ")

    assert host.get(f"/items?access_token={token}").status_code == 400
    assert host.get(f"/items?access_token={token}", headers=headers).status_code == 400


def test_a_first_password_opens_the_own_account_only(sqlite_house: House, host: TestClient) -> None:
    sqlite_house.create(password_expires_at=sqlite_house.now + timedelta(hours=24))
    headers = bearer(sign_in(host))

    assert host.get("/users/me", headers=headers).status_code == 200
    assert host.get("/api/account", headers=headers).json()["must_change_password"] is True
    assert host.get("/items", headers=headers).status_code == 403

    changed = host.post(
        "/api/account/password",
        json={"current_password": PASSWORD, "new_password": "another long passphrase"},
        headers=headers,
    )
    assert host.get("/items", headers=bearer(changed.json())).status_code == 200


def test_a_token_of_a_first_password_carries_no_role(sqlite_house: House, host: TestClient) -> None:
    """Other services read roles from the token, and cannot see that a change is due."""
    sqlite_house.create(
        roles=("admin",), password_expires_at=sqlite_house.now + timedelta(hours=24)
    )
    token = sign_in(host)["access_token"]

    claims = sqlite_house.runtime.sight.claims_of(token)

    assert claims is not None
    assert claims.roles == ()


def test_a_first_password_dies_after_its_time(sqlite_house: House, host: TestClient) -> None:
    sqlite_house.create(password_expires_at=sqlite_house.now + timedelta(hours=24))
    sqlite_house.clock.advance(hours=24)

    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}

    assert host.post("/token", data=form).status_code == 400


def test_the_token_url_of_authorize_follows_the_prefix(sqlite_house: House) -> None:
    schema = host_app(sqlite_house, prefix="/auth").openapi()

    flows = schema["components"]["securitySchemes"]["Twinlock"]["flows"]
    assert flows["password"]["tokenUrl"] == "auth/token"
    assert schema["paths"]["/items"]["get"]["security"] == [{"Twinlock": []}]


def test_two_instances_in_one_process_do_not_mix(
    sqlite_house: House, tmp_path: Path, migrated_sqlite: Path
) -> None:
    other_path = tmp_path / "other.sqlite3"
    shutil.copyfile(migrated_sqlite, other_path)
    other = House(tmp_path / "other", f"sqlite:///{other_path}")
    with sqlite_house.open() as here, other.open() as there:
        sqlite_house.create()
        headers = bearer(sign_in(here))

        assert here.get("/users/me", headers=headers).status_code == 200
        assert there.get("/users/me", headers=headers).status_code == 401


def test_a_mounted_application_finds_the_instance_around_it(sqlite_house: House) -> None:
    app = host_app(sqlite_house, prefix="")
    inner = FastAPI()

    @inner.get("/things")
    async def things(user: CurrentUser) -> dict[str, str]:
        return {"owner": user.username}

    app.mount("/inner", inner)
    sqlite_house.app = app
    with TestClient(app, base_url=BASE_URL) as client:
        sqlite_house.create()

        headers = bearer(sign_in(client))
        assert client.get("/inner/things", headers=headers).json() == {"owner": "johndoe"}
        assert client.get("/inner/things").status_code == 401


def test_routes_without_an_instance_say_so() -> None:
    app = FastAPI()

    @app.get("/items")
    async def items(user: CurrentUser) -> None: ...

    with pytest.raises(RuntimeError, match="install"):
        TestClient(app).get("/items")
