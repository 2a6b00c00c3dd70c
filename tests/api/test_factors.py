"""Enrolling, removing and renewing factors through the API, and what each change ends."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.support.house import PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.testing.authenticator import FakeAuthenticator


def begin(client: TestClient, headers: dict[str, str]) -> Response:
    """Begin to enroll TOTP."""
    return client.post("/api/factors/totp", json={}, headers=headers)


def confirm(
    client: TestClient, headers: dict[str, str], begun: dict[str, Any], answer: str
) -> Response:
    """Confirm an enrollment."""
    body = {"enrollment": begun["enrollment"], "answer": answer, "label": "Phone"}
    return client.post("/api/factors/totp/confirm", json=body, headers=headers)


def phone_of(begun: dict[str, Any]) -> FakeAuthenticator:
    """Scan the QR code of an enrollment."""
    return FakeAuthenticator.from_uri(begun["options"]["uri"])


def step_up(house: House, client: TestClient, headers: dict[str, str], answer: str) -> Any:
    """Reauthenticate with TOTP and return the new headers."""
    begun = client.post("/api/reauthenticate", json={}, headers=headers).json()
    body = {"reauthentication": begun["reauthentication"], "answer": answer}
    return bearer(client.post("/api/reauthenticate/totp", json=body, headers=headers).json())


def test_nothing_changes_until_an_enrollment_is_confirmed(house: House, client: TestClient) -> None:
    house.create()
    headers = bearer(sign_in(client))

    begin(client, headers)

    assert client.get("/api/factors", headers=headers).json()["factors"] == []
    assert token(client, "johndoe", PASSWORD).status_code == 200


def test_the_first_factor_brings_ten_recovery_codes_and_the_second_none(
    house: House, client: TestClient
) -> None:
    house.create()
    first = house.enroll(client)
    begun = begin(client, first.bearer).json()

    second = confirm(client, first.bearer, begun, phone_of(begun).code(house.now))

    assert len(set(first.recovery_codes)) == 10
    assert second.status_code == 201
    assert "recovery_codes" not in second.json()
    left = client.get("/api/factors", headers=bearer(second.json())).json()
    assert left["recovery_codes_left"] == 10
    assert [one["label"] for one in left["factors"]] == ["Phone", "Phone"]


def test_the_code_that_confirmed_an_enrollment_is_spent(house: House, client: TestClient) -> None:
    house.create()
    headers = bearer(sign_in(client))
    begun = begin(client, headers).json()
    code = phone_of(begun).code(house.now)
    confirm(client, headers, begun, code)

    assert token(client, "johndoe", PASSWORD + code).status_code == 400


@pytest.mark.parametrize("waited, status", [(599, 201), (600, 400)])
def test_an_enrollment_lives_ten_minutes(
    house: House, client: TestClient, waited: int, status: int
) -> None:
    house.create()
    tokens = sign_in(client)
    begun = begin(client, bearer(tokens)).json()
    assert begun["expires_in"] == 600
    house.clock.advance(seconds=waited)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    headers = bearer(client.post("/token", data=form).json())

    answer = confirm(client, headers, begun, phone_of(begun).code(house.now))

    assert answer.status_code == status


def test_an_enrollment_dies_at_five_wrong_answers(house: House, client: TestClient) -> None:
    house.create()
    headers = bearer(sign_in(client))
    begun = begin(client, headers).json()
    for _ in range(5):
        assert confirm(client, headers, begun, "000000").json()["type"] == "wrong_answer"

    late = confirm(client, headers, begun, phone_of(begun).code(house.now))

    assert late.json()["type"] == "enrollment_expired"


def test_wrong_confirming_codes_count_only_there(house: House, client: TestClient) -> None:
    house.create()
    enrolled = house.enroll(client)
    for _ in range(2):
        begun = begin(client, enrolled.bearer).json()
        for _ in range(5):
            confirm(client, enrolled.bearer, begun, "000000")
    house.clock.advance(seconds=30)

    assert token(client, "johndoe", PASSWORD + enrolled.phone.code(house.now)).status_code == 200


def test_a_clock_that_is_off_is_told_to_who_enrolls(house: House, client: TestClient) -> None:
    house.create()
    headers = bearer(sign_in(client))
    begun = begin(client, headers).json()
    phone = phone_of(begun)

    def at(seconds: int) -> str:
        code = phone.code(house.clock.now.__class__.fromtimestamp(
            house.now.timestamp() + seconds, tz=house.now.tzinfo))  # fmt: skip
        return str(confirm(client, headers, begun, code).json().get("type"))

    assert at(300) == "clock_drift"
    assert at(-300) == "clock_drift"
    assert at(900) == "wrong_answer"


def test_an_enrollment_belongs_to_its_session(house: House, client: TestClient) -> None:
    house.create()
    mine, other = bearer(sign_in(client)), bearer(sign_in(client))
    begun = begin(client, mine).json()
    code = phone_of(begun).code(house.now)

    assert confirm(client, other, begun, code).status_code == 400
    assert confirm(client, mine, begun, code).status_code == 201


@pytest.mark.parametrize("act", ["enroll", "remove", "recovery_codes", "password"])
def test_a_change_ends_everything_but_the_session_that_made_it(
    house: House, client: TestClient, act: str
) -> None:
    house.create()
    enrolled = house.enroll(client)
    house.clock.advance(seconds=30)
    other = sign_in(client, password=PASSWORD + enrolled.phone.code(house.now))
    pending = begin_login(client)["login"]
    headers = enrolled.bearer

    match act:
        case "enroll":
            begun = begin(client, headers).json()
            done = confirm(client, headers, begun, phone_of(begun).code(house.now))
        case "remove":
            one = client.get("/api/factors", headers=headers).json()["factors"][0]["id"]
            done = client.delete(f"/api/factors/{one}", headers=headers)
        case "recovery_codes":
            done = client.post("/api/factors/recovery_codes", json={}, headers=headers)
        case _:
            body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
            done = client.post("/api/account/password", json=body, headers=headers)

    assert done.status_code in {200, 201}, done.text
    house.clock.advance(seconds=30)
    answer = {"login": pending, "answer": enrolled.phone.code(house.now)}
    assert client.get("/users/me", headers=headers).status_code == 401
    assert client.get("/users/me", headers=bearer(other)).status_code == 401
    refreshed = {"grant_type": "refresh_token", "refresh_token": other["refresh_token"]}
    assert client.post("/token", data=refreshed).status_code == 400
    assert client.post("/api/login/totp", json=answer).status_code == 401
    assert client.get("/users/me", headers=bearer(done.json())).status_code == 200


@pytest.mark.parametrize("waited, status", [(600, 200), (601, 401)])
def test_changes_want_a_proof_of_the_last_ten_minutes(
    house: House, client: TestClient, waited: int, status: int
) -> None:
    house.create()
    tokens = sign_in(client)
    house.clock.advance(seconds=waited)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    headers = bearer(client.post("/token", data=form).json())

    answer = begin(client, headers)

    assert answer.status_code == status
    if status == 401:
        assert 'max_age="600"' in answer.headers["www-authenticate"]


def test_who_has_a_second_factor_changes_nothing_without_it(
    house: House, client: TestClient
) -> None:
    """A session that began before the factor is gone; a password alone opens none."""
    house.create()
    enrolled = house.enroll(client)
    house.clock.advance(minutes=11)
    stale = {"grant_type": "refresh_token", "refresh_token": enrolled.tokens["refresh_token"]}
    headers = bearer(client.post("/token", data=stale).json())
    one = client.get("/api/factors", headers=headers).json()["factors"][0]["id"]

    refused = client.delete(f"/api/factors/{one}", headers=headers)
    assert refused.status_code == 401
    assert 'acr_values="aal2"' in refused.headers["www-authenticate"]
    assert client.post("/api/reauthenticate", json={}, headers=headers).json()["methods"] == [
        {"method": "totp"},
        {"method": "recovery_codes"},
    ]

    headers = step_up(house, client, headers, enrolled.phone.code(house.now))
    assert client.delete(f"/api/factors/{one}", headers=headers).status_code == 200


def test_recovery_codes_die_with_the_last_factor(house: House, client: TestClient) -> None:
    house.create()
    enrolled = house.enroll(client)
    one = client.get("/api/factors", headers=enrolled.bearer).json()["factors"][0]["id"]

    removed = client.delete(f"/api/factors/{one}", headers=enrolled.bearer)

    left = client.get("/api/factors", headers=bearer(removed.json())).json()
    assert left == {"factors": [], "recovery_codes_left": 0}
    assert token(client, "johndoe", PASSWORD).status_code == 200


def test_a_new_set_of_recovery_codes_voids_the_old(house: House, client: TestClient) -> None:
    house.create()
    enrolled = house.enroll(client)

    made = client.post("/api/factors/recovery_codes", json={}, headers=enrolled.bearer).json()

    old = token(client, "johndoe", PASSWORD, otp=enrolled.recovery_codes[0])
    new = token(client, "johndoe", PASSWORD, otp=made["recovery_codes"][0])
    assert (old.status_code, new.status_code) == (400, 200)


def test_recovery_codes_come_only_with_a_factor(house: House, client: TestClient) -> None:
    house.create()

    refused = client.post("/api/factors/recovery_codes", json={}, headers=bearer(sign_in(client)))

    assert (refused.status_code, refused.json()["type"]) == (400, "no_second_factor")


def test_the_sixth_totp_is_one_too_many(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        headers = bearer(sign_in(client))
        for _ in range(5):
            begun = begin(client, headers).json()
            done = confirm(client, headers, begun, phone_of(begun).code(sqlite_house.now))
            headers = bearer(done.json())

        assert begin(client, headers).json()["type"] == "too_many_authenticators"


def test_several_phones_work_side_by_side(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        first = sqlite_house.enroll(client)
        begun = begin(client, first.bearer).json()
        second = phone_of(begun)
        confirm(client, first.bearer, begun, second.code(sqlite_house.now))
        sqlite_house.clock.advance(seconds=30)

        for phone in (first.phone, second):
            sign_in(client, password=PASSWORD + phone.code(sqlite_house.now))


@pytest.mark.parametrize("method", ["recovery_codes/confirm", "sms", "passkeys", "..", "totp%00"])
def test_only_known_methods_can_be_enrolled(sqlite_house: House, method: str) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        body = {"enrollment": "x", "answer": "123456"}

        answer = client.post(f"/api/factors/{method}", json=body, headers=bearer(sign_in(client)))

        assert answer.status_code in {400, 404}


def test_another_account_s_factor_is_not_found(house: House, client: TestClient) -> None:
    house.create()
    house.create("alice")
    johns = house.enroll(client)
    alices = house.enroll(client, "alice")
    one = client.get("/api/factors", headers=alices.bearer).json()["factors"][0]["id"]

    renamed = client.patch(f"/api/factors/{one}", json={"label": "Mine"}, headers=johns.bearer)
    removed = client.delete(f"/api/factors/{one}", headers=johns.bearer)

    assert (renamed.status_code, removed.status_code) == (404, 404)
    assert (
        client.get("/api/factors", headers=alices.bearer).json()["factors"][0]["label"] == "Phone"
    )


@pytest.mark.parametrize("label", ["", " ", "x" * 65, "a\x00b", "a\nb", "\u202etxt", 7, None])
def test_a_label_is_short_printable_text(sqlite_house: House, label: Any) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        enrolled = sqlite_house.enroll(client)
        one = client.get("/api/factors", headers=enrolled.bearer).json()["factors"][0]["id"]

        answer = client.patch(f"/api/factors/{one}", json={"label": label}, headers=enrolled.bearer)

        assert answer.status_code == 422


def test_renaming_wants_a_fresh_proof_and_ends_nothing(house: House, client: TestClient) -> None:
    house.create()
    enrolled = house.enroll(client)
    one = client.get("/api/factors", headers=enrolled.bearer).json()["factors"][0]["id"]

    renamed = client.patch(
        f"/api/factors/{one}", json={"label": "Old phone"}, headers=enrolled.bearer
    )

    assert renamed.json()["label"] == "Old phone"
    assert client.get("/users/me", headers=enrolled.bearer).status_code == 200

    house.clock.advance(minutes=11)
    form = {"grant_type": "refresh_token", "refresh_token": enrolled.tokens["refresh_token"]}
    later = bearer(client.post("/token", data=form).json())
    too_late = client.patch(f"/api/factors/{one}", json={"label": "Throw me away"}, headers=later)

    assert too_late.status_code == 401
    assert 'acr_values="aal2", max_age="600"' in too_late.headers["WWW-Authenticate"]
    assert client.get("/api/factors", headers=later).json()["factors"][0]["label"] == "Old phone"
