"""One code, one count, whichever door it is shown at (security.md, sections 1 and 3)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from httpx2 import Response

from tests.support.home import WRONG_CODE, WRONG_PASSWORD, Home, told
from tests.support.house import PASSWORD, bearer
from twinlock.testing.authenticator import FakeAuthenticator

Door = Callable[[Home, str], Response]


def two_steps(home: Home, code: str) -> Response:
    return home.answer(home.begin(), code)


def grant(home: Home, code: str) -> Response:
    return home.grant(home.begin(), code)


def field(home: Home, code: str) -> Response:
    return home.token(PASSWORD, otp=code)


def behind_the_password(home: Home, code: str) -> Response:
    return home.token(PASSWORD + code)


def step_up(home: Home, code: str) -> Response:
    headers = home.john.bearer
    begun = home.client.post("/api/reauthenticate", json={"acr": "aal2"}, headers=headers).json()
    body = {"reauthentication": begun["reauthentication"], "answer": code}
    response: Response = home.client.post("/api/reauthenticate/totp", json=body, headers=headers)
    return response


DOORS: list[Door] = [two_steps, grant, field, behind_the_password, step_up]


@pytest.mark.parametrize("first", DOORS)
@pytest.mark.parametrize("second", DOORS)
def test_a_code_spent_at_one_door_is_spent_at_every_other(
    home: Home, first: Door, second: Door
) -> None:
    code = home.code()

    assert first(home, code).status_code == 200
    assert second(home, code).status_code in (400, 401)
    assert second(home, home.code()).status_code == 200


@pytest.mark.parametrize("last", DOORS)
def test_five_wrong_codes_at_any_doors_close_all_of_them(home: Home, last: Door) -> None:
    home.house.clock.advance(minutes=2)
    for door in DOORS:
        assert door(home, WRONG_CODE).status_code in (400, 401)

    refused = last(home, home.john.phone.code(home.house.now))

    if last in (field, behind_the_password):
        assert told(refused) == told(home.token(WRONG_PASSWORD, otp=WRONG_CODE))
    else:
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0


def test_the_answer_of_one_account_opens_no_login_of_another(home: Home) -> None:
    home.house.create("mary")
    mary = home.house.enroll(home.client, "mary")
    home.house.clock.advance(seconds=30)
    code = mary.phone.code(home.house.now)
    handle = home.begin()

    assert home.answer(handle, code).status_code == 401
    assert home.answer(handle, mary.recovery_codes[0], "recovery_codes").status_code == 401
    assert home.answer(home.begin(username="mary"), code).status_code == 200


def test_no_handle_is_good_for_anything_else(home: Home) -> None:
    headers = home.john.bearer
    enrolling = home.client.post("/api/factors/totp", json={}, headers=headers).json()
    phone = FakeAuthenticator.from_uri(enrolling["options"]["uri"])
    stepping = home.client.post("/api/reauthenticate", json={"acr": "aal2"}, headers=headers).json()
    passkey = home.client.post("/api/passkey/begin", json={}).json()
    login, strange = home.begin(), phone.code(home.house.now)

    for handle in (enrolling["enrollment"], stepping["reauthentication"], passkey["login"]):
        assert home.answer(handle, home.code()).status_code == 401
        assert home.grant(handle, home.code()).json()["error"] == "invalid_grant"
        enrollment = home.client.post("/api/enrollment/totp", json={"login": handle})
        assert enrollment.status_code == 401
    for handle in (login, stepping["reauthentication"]):
        body = {"enrollment": handle, "answer": strange, "label": "Phone"}
        confirmed = home.client.post("/api/factors/totp/confirm", json=body, headers=headers)
        assert confirmed.json()["type"] == "enrollment_expired"
    for handle in (login, enrolling["enrollment"]):
        body = {"reauthentication": handle, "answer": home.code()}
        stepped = home.client.post("/api/reauthenticate/totp", json=body, headers=headers)
        assert stepped.status_code == 401


@pytest.mark.parametrize(
    "seconds, is_good", [(-61, False), (-30, True), (0, True), (30, True), (60, False)]
)
def test_a_code_is_good_one_step_around(home: Home, seconds: int, is_good: bool) -> None:
    home.house.clock.advance(hours=1)
    code = home.john.phone.code(home.house.now + timedelta(seconds=seconds))

    assert (two_steps(home, code).status_code == 200) is is_good


@pytest.mark.parametrize(
    "password, otp, status",
    [
        ("P", "", 403),
        ("PC", "", 200),
        ("P", "C", 200),
        ("P", "R", 200),
        ("PC", "C", 400),
        ("PR", "", 400),
        ("P ", "C", 400),
        ("P C", "", 400),
        ("PC ", "", 400),
        ("PF", "", 400),
        ("P\0", "C", 400),
        ("P000000", "", 400),
        ("P", "000000", 400),
    ],
)
def test_where_a_code_may_stand_at_token(home: Home, password: str, otp: str, status: int) -> None:
    """P the password, C its code, F the code in full-width digits, R a recovery code."""
    code = home.code()
    wide = "".join(chr(0xFF10 + int(digit)) for digit in code)
    words = {"P": PASSWORD, "C": code, "F": wide, "R": home.recovery_code()}

    def spelled(text: str) -> str:
        return "".join(words.get(letter, letter) for letter in text)

    assert home.token(spelled(password), otp=spelled(otp)).status_code == status


@pytest.mark.parametrize(
    "seconds, status", [(299, 200), (300, 401)], ids=["in time", "to the second"]
)
def test_a_login_waits_for_five_minutes(home: Home, seconds: int, status: int) -> None:
    handle = home.begin()
    home.house.clock.advance(seconds=seconds)

    assert home.answer(handle, home.john.phone.code(home.house.now)).status_code == status


def test_a_session_that_was_ended_by_its_token_is_ended_at_every_door(home: Home) -> None:
    for hint in ("", "refresh_token", "access_token", "nonsense"):
        for which in ("refresh_token", "access_token"):
            tokens = field(home, home.code()).json()
            form = {"token": tokens[which], "token_type_hint": hint}
            assert home.client.post("/revoke", data=form).status_code == 200
            again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
            assert home.client.post("/token", data=again).json()["error"] == "invalid_grant"
            assert home.client.get("/users/me", headers=bearer(tokens)).status_code == 401
