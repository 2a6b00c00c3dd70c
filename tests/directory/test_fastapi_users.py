"""The drop-in for fastapi-users, against fastapi-users itself."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.directory.fastapi_users_host import make_app
from tests.support.house import BASE_URL, PASSWORD, House
from twinlock import Twinlock
from twinlock.testing.authenticator import FakeAuthenticator

EMAIL = "john@example.com"


@dataclass
class Site:
    house: House
    client: TestClient
    auth: Twinlock
    extras: dict[str, Any]

    def login(self, door: str = "jwt", password: str = PASSWORD, **fields: str) -> Any:
        form = {"username": EMAIL, "password": password, **fields}
        answer = self.client.post(f"/auth/{door}/login", data=form)
        self.client.cookies.clear()
        return answer

    def bearer(self, answer: Any) -> dict[str, str]:
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def me(self, headers: dict[str, str]) -> int:
        status: int = self.client.get("/me", headers=headers).status_code
        return status

    def enroll(self) -> FakeAuthenticator:
        """Enroll an authenticator app from a login at the drop-in."""
        headers = self.bearer(self.login())
        ours = self.bearer(self.client.post("/auth/jwt/access", headers=headers))
        begun = self.client.post("/twinlock/api/factors/totp", json={}, headers=ours).json()
        phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
        answer = {
            "enrollment": begun["enrollment"],
            "answer": phone.code(self.house.now),
            "label": "Phone",
        }
        done = self.client.post("/twinlock/api/factors/totp/confirm", json=answer, headers=ours)
        assert done.status_code == 201, done.text
        self.house.clock.advance(seconds=30)
        return phone

    def both(self, phone: FakeAuthenticator, door: str = "jwt") -> Any:
        """Sign in with both factors."""
        begun = self.login(door).json()["detail"]
        body = {"login": begun["login"], "answer": phone.code(self.house.now)}
        done = self.client.post(f"/auth/{door}/login/totp", json=body)
        self.house.clock.advance(seconds=30)
        return done


@pytest.fixture
def site(sqlite_house: House, tmp_path: Path) -> Iterator[Site]:
    app, auth, extras = make_app(sqlite_house, tmp_path)
    with TestClient(app, base_url=BASE_URL) as client:
        created = client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        assert created.status_code == 201, created.text
        yield Site(sqlite_house, client, auth, extras)


@pytest.mark.parametrize("door", ["jwt", "database"])
def test_a_login_gives_a_token_that_counts_until_it_logs_out(site: Site, door: str) -> None:
    headers = site.bearer(site.login(door))
    before = site.me(headers)

    out = site.client.post(f"/auth/{door}/logout", headers=headers)

    assert (before, out.status_code, site.me(headers)) == (200, 204, 401)


def test_a_cookie_counts_until_it_logs_out(site: Site) -> None:
    answer = site.client.post("/auth/cookie/login", data={"username": EMAIL, "password": PASSWORD})
    stolen = answer.cookies["fastapiusersauth"]
    before = site.client.get("/me").status_code
    site.client.post("/auth/cookie/logout")
    site.client.cookies.clear()
    site.client.cookies.set("fastapiusersauth", stolen)

    assert (answer.status_code, before, site.client.get("/me").status_code) == (204, 200, 401)


@pytest.mark.parametrize("door", ["jwt", "database"])
def test_an_account_with_a_second_factor_is_asked_for_it(site: Site, door: str) -> None:
    phone = site.enroll()

    asked = site.login(door)
    done = site.both(phone, door)

    assert asked.status_code == 403
    assert asked.json()["detail"]["reason"] == "LOGIN_SECOND_FACTOR_REQUIRED"
    assert site.me(site.bearer(done)) == 200


def test_a_code_may_follow_the_password_once(site: Site) -> None:
    phone = site.enroll()
    code = phone.code(site.house.now)

    first, again = (site.login(password=PASSWORD + code) for _ in range(2))

    assert site.me(site.bearer(first)) == 200
    assert (again.status_code, again.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})


@pytest.mark.parametrize("enrolled", [True, False])
def test_another_router_s_token_opens_nothing_past_a_second_factor(
    site: Site, enrolled: bool
) -> None:
    if enrolled:
        site.enroll()

    old = site.login("old")

    if enrolled:
        assert old.status_code == 403
        assert old.json()["detail"]["reason"] == "LOGIN_SECOND_FACTOR_REQUIRED"
    else:
        assert site.me(site.bearer(old)) == 200


def test_a_token_of_an_unwrapped_strategy_opens_nothing(site: Site) -> None:
    site.enroll()
    raw = site.bearer(site.login("raw"))

    assert site.me(raw) == 401


def test_a_token_bound_to_another_session_opens_nothing(site: Site) -> None:
    """The host's signing key alone makes no token, and a MAC fits one pair only."""
    phone = site.enroll()
    full = site.both(phone).json()["access_token"]
    raw = site.login("raw").json()["access_token"]
    inner, session_id, mac = full.rsplit("~", 2)
    forged = [
        f"{raw}~{session_id}~{'0' * 64}",
        f"{inner}~{'0' * 32}~{mac}",
        f"{inner}~{session_id}~",
        f"{inner}~{session_id}~ä",
        inner,
        "~~",
    ]

    statuses = {
        site.me({"Authorization": f"Bearer {one}"[:9000]}) for one in forged if one.isascii()
    }

    assert statuses == {401}
    assert site.me({"Authorization": f"Bearer {full}"}) == 200


def test_enrolling_ends_the_token_that_did_it(site: Site) -> None:
    before = site.bearer(site.login())
    site.enroll()

    assert site.me(before) == 401


def test_a_changed_password_ends_tokens_and_keeps_the_second_factor(site: Site) -> None:
    phone = site.enroll()
    headers = site.bearer(site.both(phone))
    new = "an entirely different password"

    changed = site.client.patch("/users/me", json={"password": new}, headers=headers)

    assert changed.status_code == 200, changed.text
    assert site.me(headers) == 401
    assert site.login(password=new).status_code == 403


def test_a_reset_password_ends_tokens_and_keeps_the_second_factor(site: Site) -> None:
    phone = site.enroll()
    headers = site.bearer(site.both(phone))
    site.client.post("/auth/forgot-password", json={"email": EMAIL})
    new = "an entirely different password"
    body = {"token": site.extras["told"]["reset"], "password": new}

    reset = site.client.post("/auth/reset-password", json=body)

    assert reset.status_code == 200, reset.text
    assert site.me(headers) == 401
    assert site.login(password=new).status_code == 403


def test_a_changed_address_ends_tokens(site: Site) -> None:
    headers = site.bearer(site.login())

    changed = site.client.patch("/users/me", json={"email": "j@example.com"}, headers=headers)

    assert changed.status_code == 200, changed.text
    assert site.me(headers) == 401


def test_a_deleted_user_s_tokens_and_factors_are_gone(site: Site) -> None:
    phone = site.enroll()
    headers = site.bearer(site.both(phone))
    ours = site.bearer(site.client.post("/auth/jwt/access", headers=headers))

    assert site.client.delete("/me", headers=headers).status_code == 200

    assert site.me(headers) == 401
    assert site.client.get("/twinlock/users/me", headers=ours).status_code == 401
    assert site.login().status_code == 400


def test_require_asks_for_what_the_login_proved(site: Site) -> None:
    weak = site.bearer(site.login())
    before = site.client.get("/secret", headers=weak)
    phone = site.enroll()
    strong = site.bearer(site.both(phone))

    after = site.client.get("/secret", headers=strong)

    assert before.status_code == 401
    assert "insufficient_user_authentication" in before.headers["WWW-Authenticate"]
    assert after.status_code == 200


def test_unknown_wrong_and_unverified_get_one_answer(site: Site) -> None:
    answers = [
        site.login("verified/jwt"),
        site.login("verified/jwt", password="wrong"),
        site.client.post("/auth/verified/jwt/login", data={"username": "x", "password": "y"}),
        site.client.post("/auth/verified/jwt/login", data={"username": "x\0", "password": "y"}),
    ]

    assert {(one.status_code, one.text) for one in answers} == {
        (400, '{"detail":"LOGIN_BAD_CREDENTIALS"}')
    }


def test_wrong_passwords_are_throttled(site: Site) -> None:
    statuses = [site.login(password="wrong").status_code for _ in range(11)]

    assert statuses == [400] * 10 + [429]


def test_an_address_signs_in_in_any_case(site: Site) -> None:
    form = {"username": EMAIL.upper(), "password": PASSWORD}

    assert site.client.post("/auth/jwt/login", data=form).status_code == 200


def test_a_verified_address_signs_in_where_that_is_asked(site: Site) -> None:
    before = site.login("verified/jwt")
    site.client.post("/auth/request-verify-token", json={"email": EMAIL})
    body = {"token": site.extras["told"]["verify"]}

    verified = site.client.post("/auth/verify", json=body)

    assert (before.status_code, verified.status_code) == (400, 200)
    assert site.me(site.bearer(site.login("verified/jwt"))) == 200


def test_fresh_options_renew_a_passkeys_challenge(site: Site) -> None:
    passkey = FakeAuthenticator()
    headers = site.bearer(site.login())
    ours = site.bearer(site.client.post("/auth/jwt/access", headers=headers))
    begun = site.client.post("/twinlock/api/factors/passkey", json={}, headers=ours).json()
    answer = {
        "enrollment": begun["enrollment"],
        "answer": passkey.create(begun["options"]),
        "label": "Key",
    }
    done = site.client.post("/twinlock/api/factors/passkey/confirm", json=answer, headers=ours)
    assert done.status_code == 201, done.text
    asked = site.login().json()["detail"]
    offered = next(one for one in asked["methods"] if one["method"] == "passkey")

    fresh = site.client.post("/auth/jwt/login/passkey/begin", json={"login": asked["login"]})

    assert fresh.status_code == 200, fresh.text
    assert fresh.json()["options"]["challenge"] != offered["options"]["challenge"]
    statuses = [
        site.client.post(
            "/auth/jwt/login/passkey",
            json={"login": asked["login"], "answer": passkey.get(options)},
        ).status_code
        for options in (offered["options"], fresh.json()["options"])
    ]
    assert statuses == [400, 200]


@pytest.mark.parametrize("method", ["totp", "passkey", "nothing"])
def test_fresh_options_are_for_pending_logins_only(site: Site, method: str) -> None:
    answer = site.client.post(f"/auth/jwt/login/{method}/begin", json={"login": "x" * 43})

    assert (answer.status_code, answer.json()) == (400, {"detail": "LOGIN_BAD_SECOND_FACTOR"})


@pytest.mark.parametrize("enrolled", [True, False])
def test_an_oauth_login_opens_nothing_past_a_second_factor(site: Site, enrolled: bool) -> None:
    phone = site.enroll() if enrolled else None

    answer = site.client.get(f"/auth/oauth/callback/{EMAIL}")

    if phone is None:
        assert answer.status_code == 204
        assert site.client.get("/me").status_code == 200
        return
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert site.client.get("/me").status_code == 401
    assert site.extras["signed_in"] == [EMAIL]  # when the factor was enrolled, and not since
    body = {"login": answer.json()["detail"]["login"], "answer": phone.code(site.house.now)}
    assert site.client.post("/auth/cookie/login/totp", json=body).status_code == 204
    assert site.client.get("/me").status_code == 200


def test_no_other_router_gives_anything_that_counts(site: Site) -> None:
    """Registration, verification and reset answer with a user or nothing, never with a token."""
    phone = site.enroll()
    site.client.post("/auth/forgot-password", json={"email": EMAIL})
    site.client.post("/auth/request-verify-token", json={"email": EMAIL})
    reset, verify = site.extras["told"]["reset"], site.extras["told"]["verify"]
    new = "an entirely different password"
    answers = [
        site.client.post("/auth/register", json={"email": EMAIL.upper(), "password": new}),
        site.client.post("/auth/verify", json={"token": verify}),
        site.client.post("/auth/reset-password", json={"token": reset, "password": new}),
    ]
    again = site.client.post("/auth/reset-password", json={"token": reset, "password": PASSWORD})

    assert [one.status_code for one in answers] == [400, 200, 200]
    assert again.status_code == 400
    assert not any("token" in one.text or "set-cookie" in one.headers for one in answers)
    statuses = {
        site.client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code
        for token in (reset, verify)
        for path in ("/me", "/users/me", "/secret", "/twinlock/users/me")
    }
    assert statuses == {401}
    assert site.login(password=PASSWORD).status_code == 400
    asked = site.login(password=new)
    assert asked.status_code == 403
    body = {"login": asked.json()["detail"]["login"], "answer": phone.code(site.house.now)}
    assert site.client.post("/auth/jwt/login/totp", json=body).status_code == 200


def test_a_reset_password_voids_a_login_that_was_begun(site: Site) -> None:
    phone = site.enroll()
    begun = site.login().json()["detail"]
    site.client.post("/auth/forgot-password", json={"email": EMAIL})
    body = {"token": site.extras["told"]["reset"], "password": "an entirely different password"}
    assert site.client.post("/auth/reset-password", json=body).status_code == 200

    answer = {"login": begun["login"], "answer": phone.code(site.house.now)}

    assert site.client.post("/auth/jwt/login/totp", json=answer).status_code == 400


@pytest.mark.parametrize("field", ["is_superuser", "is_active", "is_verified"])
def test_nobody_raises_themself(site: Site, field: str) -> None:
    headers = site.bearer(site.login())

    site.client.patch("/users/me", json={field: field != "is_active"}, headers=headers)

    me = site.client.get("/users/me", headers=headers).json()
    assert (me["is_superuser"], me["is_active"], me["is_verified"]) == (False, True, False)


def test_a_superuser_who_disables_somebody_ends_their_sessions(site: Site) -> None:
    victim = site.bearer(site.login())
    victim_id = site.client.get("/users/me", headers=victim).json()["id"]
    root = {"email": "root@example.com", "password": PASSWORD}
    assert site.client.post("/auth/register", json=root).status_code == 201
    with sqlite3.connect(site.extras["url"].removeprefix("sqlite:///")) as db:
        db.execute("UPDATE user SET is_superuser = 1 WHERE email = ?", (root["email"],))
    db.close()
    form = {"username": root["email"], "password": PASSWORD}
    headers = site.bearer(site.client.post("/auth/jwt/login", data=form))
    assert site.client.get(f"/users/{victim_id}", headers=victim).status_code == 403

    done = site.client.patch(f"/users/{victim_id}", json={"is_active": False}, headers=headers)

    assert done.status_code == 200, done.text
    assert site.me(victim) == 401
    assert site.login().status_code == 400
