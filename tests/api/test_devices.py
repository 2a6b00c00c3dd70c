"""Trusted devices: what they stand for, what they never do, and what ends them."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.support.home import Home
from tests.support.house import OPERATOR, PASSWORD, bearer, begin_login, token
from twinlock.audit.events import EventType
from twinlock.core.proof import Acr
from twinlock.flows.installation import note_restored
from twinlock.policies.policy import Kind, Policy

COOKIE = "__Host-twinlock-device"


def trust(home: Home, client: TestClient | None = None) -> Any:
    """Sign in with both factors, let the browser be trusted, and return the reply."""
    client = client or home.client
    login = begin_login(client)["login"]
    body = {"login": login, "answer": home.code(), "trust_device": True}
    response = client.post("/api/login/totp", json=body)
    assert response.status_code == 200, response.text
    return response


def cookie_of(response: Any) -> str:
    value: str = response.cookies[COOKIE]
    return value


def with_cookie(home: Home, value: str, username: str = "johndoe") -> Any:
    """Take the password step in a browser that holds this device cookie alone."""
    return home.house.client().post(
        "/api/login",
        json={"username": username, "password": PASSWORD},
        headers={"Cookie": f"{COOKIE}={value}"},
    )


def is_trusted(home: Home, value: str) -> bool:
    status: str = with_cookie(home, value).json()["status"]
    return status == "signed_in"


def demand(home: Home, kind: Kind, name: str = "", *, devices: bool, acr: Acr = Acr.AAL2) -> None:
    now = home.house.now
    new = Policy(kind, name, acr, now, (), devices)
    administration = home.house.policy_administration
    assert administration.set_policy(new, OPERATOR, now=now) == new


def test_a_trusted_device_stands_for_the_second_factor(home: Home) -> None:
    value = cookie_of(trust(home))

    response = with_cookie(home, value)

    body = response.json()
    assert (body["status"], body["acr"], body["amr"]) == ("signed_in", "aal1", ["pwd"])
    assert home.client.get("/users/me", headers=bearer(body)).status_code == 200
    assert home.events(EventType.DEVICE_TRUSTED)
    assert any('"aal1"' in one.details for one in home.events(EventType.LOGIN_SUCCEEDED))


def test_the_cookie_is_one_that_no_page_and_no_neighbour_can_reach(home: Home) -> None:
    header = trust(home).headers["set-cookie"]

    assert f"{COOKIE}=" in header
    assert all(word in header for word in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"))
    assert "Max-Age=2592000" in header
    assert "domain" not in header.lower()


def test_nobody_is_trusted_without_asking(home: Home) -> None:
    login = begin_login(home.client)["login"]
    response = home.client.post("/api/login/totp", json={"login": login, "answer": home.code()})

    assert COOKIE not in response.cookies


def test_each_use_gives_the_next_cookie_and_a_copy_ends_the_trust(home: Home) -> None:
    """Who comes second with one cookie gets nothing, and neither does anybody after."""
    first = cookie_of(trust(home))
    used = with_cookie(home, first)
    second = cookie_of(used)
    assert second != first

    copied = with_cookie(home, first)

    assert copied.json()["status"] == "second_factor_required"
    assert not is_trusted(home, second)
    assert home.client.get("/users/me", headers=bearer(used.json())).status_code == 401
    assert home.events(EventType.DEVICE_REUSED)


def test_the_chain_of_cookies_goes_on(home: Home) -> None:
    value = cookie_of(trust(home))
    for _ in range(3):
        response = with_cookie(home, value)
        assert response.json()["status"] == "signed_in"
        value = cookie_of(response)


def test_the_trust_ends_after_thirty_days_however_often_it_is_used(home: Home) -> None:
    value = cookie_of(trust(home))
    home.house.clock.advance(days=29, hours=23)
    response = with_cookie(home, value)
    assert response.json()["status"] == "signed_in"
    assert "Max-Age=3" in response.headers["set-cookie"]  # the hour that is left
    home.house.clock.advance(hours=1, minutes=1)

    assert not is_trusted(home, cookie_of(response))


def test_a_device_needs_the_password(home: Home) -> None:
    value = cookie_of(trust(home))

    response = home.house.client().post(
        "/api/login",
        json={"username": "johndoe", "password": "not the password at all"},
        headers={"Cookie": f"{COOKIE}={value}"},
    )

    assert response.status_code == 401
    assert is_trusted(home, value)  # and a wrong one does not spend it


@pytest.mark.parametrize("twist", ["", ".x", "x", "0" * 32 + ".x", "..", "x" * 500])
def test_a_cookie_that_is_none_asks_for_the_second_factor(home: Home, twist: str) -> None:
    assert not is_trusted(home, twist)


def test_a_planted_second_cookie_makes_both_worthless(home: Home) -> None:
    value = cookie_of(trust(home))

    assert not is_trusted(home, f"planted; {COOKIE}={value}")
    assert is_trusted(home, value)


def test_a_device_is_its_account_s_only(home: Home) -> None:
    home.house.create("alice")
    home.house.enroll(home.client, "alice")
    value = cookie_of(trust(home))

    assert with_cookie(home, value, "alice").json()["status"] == "second_factor_required"
    assert is_trusted(home, value)


def test_the_token_endpoint_knows_no_devices(home: Home) -> None:
    value = cookie_of(trust(home))
    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}

    client = home.house.client()
    response = client.post("/token", data=form, headers={"Cookie": f"{COOKIE}={value}"})

    assert response.json()["error"] == "mfa_required"


def test_a_device_never_steps_up(home: Home) -> None:
    """Neither by itself nor for a change of factors."""
    value = cookie_of(trust(home))
    response = with_cookie(home, value)
    headers = bearer(response.json()) | {"Cookie": f"{COOKIE}={cookie_of(response)}"}
    client = home.house.client()

    begun = client.post("/api/reauthenticate", json={"acr": "aal2"}, headers=headers).json()
    body = {"reauthentication": begun["reauthentication"], "answer": PASSWORD}
    password = client.post("/api/reauthenticate/password", json=body, headers=headers)
    change = client.post("/api/factors/totp", json={}, headers=headers)

    assert "password" not in [one["method"] for one in begun["methods"]]
    assert password.status_code == 401
    assert change.status_code == 401
    assert "insufficient_user_authentication" in change.headers["www-authenticate"]


def change_password(home: Home, headers: dict[str, str]) -> None:
    body = {"current_password": PASSWORD, "new_password": "an entirely different phrase"}
    assert home.client.post("/api/account/password", json=body, headers=headers).status_code == 200


def new_codes(home: Home, headers: dict[str, str]) -> None:
    made = home.client.post("/api/factors/recovery_codes", json={}, headers=headers)
    assert made.status_code == 201


def disabled_and_enabled(home: Home, _headers: dict[str, str]) -> None:
    home.house.administration.disable(home.house.account(), OPERATOR, now=home.house.now)
    home.house.administration.enable(home.house.account(), OPERATOR, now=home.house.now)


@pytest.mark.parametrize("change", [change_password, new_codes, disabled_and_enabled])
def test_every_change_of_the_account_ends_the_trust(home: Home, change: Any) -> None:
    response = trust(home)
    value = cookie_of(response)

    change(home, bearer(response.json()))

    password = PASSWORD if change is not change_password else "an entirely different phrase"
    asked = home.house.client().post(
        "/api/login",
        json={"username": "johndoe", "password": password},
        headers={"Cookie": f"{COOKIE}={value}"},
    )
    assert asked.json()["status"] == "second_factor_required"


def test_a_restored_backup_trusts_nobody(home: Home) -> None:
    value = cookie_of(trust(home))

    ended = note_restored(home.house.runtime.parts, OPERATOR, now=home.house.now)

    assert ended["devices"] == 1
    assert not is_trusted(home, value)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trusted_device SET subject_id = :alice",
        "UPDATE trusted_device SET expires_at = '2099-01-01 00:00:00.000000'",
        "UPDATE trusted_device SET cookie_digest = :digest",
        "UPDATE trusted_device SET generation = generation + 1",
    ],
)
def test_who_writes_the_database_plants_no_device(home: Home, change: str) -> None:
    alice = home.house.create("alice")
    home.house.enroll(home.client, "alice")
    value = cookie_of(trust(home))
    params: dict[str, Any] = {"alice": alice.subject, "digest": b"\0" * 32}
    known = {name: param for name, param in params.items() if f":{name}" in change}
    home.execute(text(change), **known)

    for username in ("johndoe", "alice"):
        assert with_cookie(home, value, username).json()["status"] == "second_factor_required"


def test_devices_are_listed_and_revoked(home: Home) -> None:
    response = trust(home)
    headers = bearer(response.json())
    value = cookie_of(response)
    opened = with_cookie(home, value)
    value = cookie_of(opened)

    client = home.house.client()
    (listed,) = client.get(
        "/api/devices", headers=headers | {"Cookie": f"{COOKIE}={value}"}
    ).json()["devices"]
    revoked = client.delete(f"/api/devices/{listed['id']}", headers=headers)
    again = client.delete(f"/api/devices/{listed['id']}", headers=headers)

    assert listed["current"] is True
    assert listed["user_agent"] == "testclient"
    assert listed.keys() >= {"created_at", "last_used_at", "expires_at", "ip"}
    assert value.partition(".")[2] not in str(listed)
    assert (revoked.status_code, again.status_code) == (204, 404)
    assert not is_trusted(home, value)
    assert client.get("/users/me", headers=bearer(opened.json())).status_code == 401
    assert client.get("/api/devices", headers=headers).json()["devices"] == []
    assert home.events(EventType.DEVICE_REVOKED)


def test_all_devices_are_revoked_at_once(home: Home) -> None:
    values = [cookie_of(trust(home, home.house.client())) for _ in range(2)]
    headers = bearer(trust(home, home.house.client()).json())

    revoked = home.house.client().delete("/api/devices", headers=headers)

    assert revoked.json() == {"revoked": 3}
    assert not any(is_trusted(home, value) for value in values)


def test_the_devices_of_others_are_out_of_reach(home: Home) -> None:
    value = cookie_of(trust(home))
    home.house.create("alice")
    alice = home.house.enroll(home.client, "alice")
    client = home.house.client()

    deleted = client.delete(f"/api/devices/{value.partition('.')[0]}", headers=alice.bearer)

    assert deleted.status_code == 404
    assert client.get("/api/devices", headers=alice.bearer).json()["devices"] == []
    assert client.get("/api/devices").status_code == 401
    assert is_trusted(home, value)


def test_an_account_has_ten_devices_and_a_browser_is_one(home: Home) -> None:
    first = cookie_of(trust(home, home.house.client()))
    same = home.house.client()
    last = trust(home, same)
    same.cookies.set(COOKIE, cookie_of(last))
    for _ in range(9):
        home.house.administration.unlock(home.house.account(), OPERATOR, now=home.house.now)
        last = trust(home, home.house.client())

    found = home.client.get("/api/devices", headers=bearer(last.json())).json()["devices"]

    assert len(found) == 10
    assert not is_trusted(home, first)


def test_an_admin_s_device_is_trusted_only_by_name(home: Home) -> None:
    administration = home.house.administration
    done = administration.change(
        home.house.account(), OPERATOR, roles=["admin"], now=home.house.now
    )
    assert not hasattr(done, "code")
    assert COOKIE not in trust(home, home.house.client()).cookies

    demand(home, Kind.ROLE, "admin", devices=True)

    value = cookie_of(trust(home, home.house.client()))
    assert is_trusted(home, value)


def test_where_a_policy_demands_two_factors_it_must_name_devices(home: Home) -> None:
    value = cookie_of(trust(home))
    opened = with_cookie(home, value).json()
    client = home.house.client()

    demand(home, Kind.EVERYONE, devices=False)
    assert client.get("/users/me", headers=bearer(opened)).status_code == 401
    assert COOKIE not in trust(home, home.house.client()).cookies

    demand(home, Kind.EVERYONE, devices=True)
    trusted = with_cookie(home, cookie_of(trust(home, home.house.client()))).json()
    assert trusted["status"] == "signed_in"
    assert client.get("/users/me", headers=bearer(trusted)).status_code == 200


def test_a_bearer_of_a_device_refreshes_and_stays_what_it_is(home: Home) -> None:
    opened = with_cookie(home, cookie_of(trust(home))).json()
    form = {"grant_type": "refresh_token", "refresh_token": opened["refresh_token"]}

    refreshed = home.client.post("/token", data=form)

    assert refreshed.status_code == 200
    assert token(home.client, "johndoe", PASSWORD).status_code == 403
