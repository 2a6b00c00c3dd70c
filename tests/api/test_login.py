"""``/api/login`` and ``/api/login/{method}``: a password, then a second factor."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.home import STEP, WRONG_CODE, WRONG_PASSWORD, Home, told
from tests.support.house import (
    OPERATOR,
    PASSWORD,
    House,
    bearer,
    begin_login,
    sign_in,
)
from twinlock.accounts.directory import Account
from twinlock.testing.authenticator import FakeAuthenticator

OTHER_PASSWORD = "another horse battery staple"
SECONDS = timedelta(seconds=1)


def log_in(client: TestClient, username: str = "johndoe", password: str = PASSWORD) -> Any:
    return client.post("/api/login", json={"username": username, "password": password})


# --- The password step ----------------------------------------------------------------------


def test_a_right_password_is_asked_for_the_second_factor(home: Home) -> None:
    response = log_in(home.client)

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"status", "login", "expires_in", "methods"}
    assert (body["status"], body["expires_in"]) == ("second_factor_required", 300)
    assert body["methods"] == [{"method": "totp"}, {"method": "recovery_codes"}]


def test_recovery_codes_are_offered_while_there_are_any(home: Home) -> None:
    for _ in range(10):
        home.answer(home.begin(), home.recovery_code(), "recovery_codes")

    assert log_in(home.client).json()["methods"] == [{"method": "totp"}]


def test_an_account_without_a_second_factor_is_signed_in(home: Home) -> None:
    home.house.create("alice")

    body = log_in(home.client, "alice").json()

    assert (body["status"], body["token_type"], body["expires_in"]) == ("signed_in", "bearer", 600)
    assert (body["acr"], body["amr"]) == ("aal1", ["pwd"])
    assert home.client.get("/users/me", headers=bearer(body)).json()["username"] == "alice"


def test_the_code_does_not_follow_the_password_here(home: Home) -> None:
    """There is a second step for it."""
    assert log_in(home.client, password=PASSWORD + home.code()).status_code == 401


def test_a_denied_login_says_so_in_one_way(home: Home) -> None:
    """RFC 9457 and RFC 9110 section 15.5.2: a 401 has a challenge."""
    response = log_in(home.client, password=WRONG_PASSWORD)

    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["type"] == "login_denied"


@pytest.mark.parametrize(
    "name", ["JOHNDOE", "ｊｏｈｎｄｏｅ", "johndoe@example.com", "JohnDoe@Example.COM"]
)
def test_a_name_is_the_same_however_it_is_typed(home: Home, name: str) -> None:
    assert log_in(home.client, name).json()["status"] == "second_factor_required"


def test_an_unverified_address_is_nobodys(home: Home) -> None:
    home.house.create("alice", is_email_verified=False)

    assert told(log_in(home.client, "alice@example.com")) == told(log_in(home.client, "nobody"))


@pytest.mark.parametrize(
    "name", ["", " ", "a\u0000b", "@", "johndoe\u200b", "x" * 1_024, "%", "' OR 1=1 --", "🔑"]
)
def test_any_text_is_somebodys_name_or_nobodys(home: Home, name: str) -> None:
    assert log_in(home.client, name, WRONG_PASSWORD).status_code == 401


ODD = ["a\0b", "\x7f", "\u200b", "\ud7ff\uffff", "🔑" * 500, "x" * 1_024, "\\x00", "%s", "ﷺ" * 60]


def test_no_text_troubles_a_database(house: House, client: TestClient) -> None:
    """PostgreSQL refuses NUL and counts characters, SQLite takes both: neither may show."""
    house.create()
    house.enroll(client)
    statuses = set()
    for number, text in enumerate(ODD):
        other = house.client(f"192.0.2.{number}")
        handle = begin_login(other)["login"]
        agent = {b"User-Agent": text.encode("utf-8").replace(b"\0", b"\x01")}
        answers = [
            other.post("/api/login", json={"username": text, "password": text}, headers=agent),
            other.post("/api/login", json={"username": text + "@x.org", "password": text}),
            other.post("/api/login/totp", json={"login": text[:128], "answer": text}),
            other.post("/api/login/totp", json={"login": handle, "answer": text}),
            other.post("/api/login/recovery_codes", json={"login": handle, "answer": text}),
            other.post("/api/login/totp", json={"login": handle, "answer": {text: text}}),
            other.post(
                "/token", data={"grant_type": "password", "username": text, "password": "x"}
            ),
            other.post("/token", data={"grant_type": "refresh_token", "refresh_token": text}),
        ]
        statuses |= {answer.status_code for answer in answers}

    assert statuses <= {400, 401, 422, 429}


@pytest.mark.parametrize("length, status", [(1_024, 200), (1_025, 401), (16_384, 401)])
def test_a_password_has_at_most_1024_characters(home: Home, length: int, status: int) -> None:
    new = home.house.runtime.password_check.new_hash("p" * 1_024)
    home.house.administration.set_password(home.house.account(), new, OPERATOR, now=home.house.now)

    assert log_in(home.client, password="p" * length).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "johndoe",
        {"username": "johndoe"},
        {"password": "hunter2-hunter2"},
        {"username": None, "password": "hunter2-hunter2"},
        {"username": "johndoe", "password": ["hunter2-hunter2"]},
        {"username": 1, "password": "hunter2-hunter2"},
        {"username": "x" * 1_025, "password": "hunter2-hunter2"},
        {"username": "johndoe", "password": "hunter2-hunter2", "transport": "pigeon"},
    ],
)
def test_a_body_that_is_none_is_refused_without_repeating_it(standing: Home, body: Any) -> None:
    response = standing.client.post("/api/login", json=body)

    assert (response.status_code, response.json()["type"]) == (422, "invalid_request")
    assert "hunter2" not in response.text


def test_what_is_not_json_is_refused(standing: Home) -> None:
    response = standing.client.post("/api/login", content=b'{"username": "johndoe",')

    assert response.status_code in {400, 422}
    assert "johndoe" not in response.text


# --- The second step ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["totp", "recovery_codes"])
def test_a_right_answer_signs_in(home: Home, method: str) -> None:
    answer = home.code() if method == "totp" else home.recovery_code()

    body = home.answer(home.begin(), answer, method).json()

    assert body["acr"] == "aal2"
    assert body["amr"] == (["pwd", "otp", "mfa"] if method == "totp" else ["pwd", "mfa"])
    assert home.client.get("/users/me", headers=bearer(body)).status_code == 200


@pytest.mark.parametrize("form", ["{0} {1}", " {0}{1} ", "{0}-{1}"])
def test_a_code_may_be_typed_as_it_is_shown(home: Home, form: str) -> None:
    code = home.code()

    assert home.answer(home.begin(), form.format(code[:3], code[3:])).status_code == 200


@pytest.mark.parametrize("steps, status", [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
def test_a_code_may_be_one_step_early_or_late(home: Home, steps: int, status: int) -> None:
    """RFC 6238 section 5.2: one time step for the way of the code, and one for the clock."""
    home.house.clock.advance(minutes=5)
    code = home.john.phone.code(home.house.now + steps * STEP)

    assert home.answer(home.begin(), code).status_code == status


def test_a_code_spends_all_before_it(home: Home) -> None:
    home.house.clock.advance(minutes=5)
    codes = [home.john.phone.code(home.house.now + steps * STEP) for steps in (1, 0, -1)]

    statuses = [home.answer(home.begin(), code).status_code for code in codes]

    assert statuses == [200, 401, 401]


def test_each_of_several_apps_signs_in(home: Home) -> None:
    second = add_factor(home)
    home.house.clock.now += STEP
    codes = [app.code(home.house.now) for app in (home.john.phone, second)]

    two_steps = [home.answer(home.begin(), code).status_code for code in codes]
    home.house.clock.now += STEP
    appended = [
        home.token(PASSWORD + app.code(home.house.now)).status_code
        for app in (second, home.john.phone)
    ]

    assert two_steps == appended == [200, 200]


def test_a_browser_gets_cookies_instead_of_tokens(home: Home) -> None:
    body = {"login": home.begin(), "answer": home.code(), "transport": "cookie"}

    response = home.client.post(
        "/api/login/totp", json=body, headers={"Origin": "http://localhost:8000"}
    )

    assert not {"access_token", "refresh_token"} & set(response.json())
    names = {cookie.split("=")[0] for cookie in response.headers.get_list("set-cookie")}
    assert names == {"__Host-twinlock", "__Host-twinlock-known"}


def test_a_pending_login_is_spent_by_its_right_answer(home: Home) -> None:
    handle = home.begin()
    first = home.answer(handle, home.code())

    second = home.answer(handle, home.code())

    assert (first.status_code, second.status_code) == (200, 401)


def test_a_right_answer_after_wrong_ones_signs_in(home: Home) -> None:
    handle = home.begin()
    for _ in range(4):
        home.answer(handle, WRONG_CODE)

    assert home.answer(handle, home.code()).status_code == 200


def test_the_fifth_wrong_answer_voids_the_pending_login(home: Home) -> None:
    handle = home.begin()
    for _ in range(5):
        home.answer(handle, WRONG_CODE)
    home.house.clock.advance(minutes=4, seconds=29)
    # The account's own count is empty again a moment before the login would have ended.

    assert home.answer(handle, home.code()).status_code == 401


def test_a_method_that_the_account_has_not_is_denied(home: Home) -> None:
    handle = home.begin()

    denied = home.answer(handle, "x", "passkey")

    assert told(denied) == told(home.answer(handle, WRONG_CODE))
    assert home.answer(handle, home.code()).status_code == 200


METHODS = ["nonsense", "TOTP", "x" * 33, "a%00b", "%F0%9F%94%91"]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method[:12])
def test_an_unknown_method_is_denied(house: House, client: TestClient, method: str) -> None:
    """Whatever stands in the path: nothing of it may trouble the database."""
    house.create()
    house.enroll(client)
    handle = begin_login(client)["login"]

    denied = client.post(f"/api/login/{method}", json={"login": handle, "answer": "000000"})
    begun = client.post(f"/api/login/{method}/begin", json={"login": handle})

    assert {denied.status_code, begun.status_code} <= {401, 404}


@pytest.mark.parametrize("method", ["x" * 5_000, "a\0b", "🔑"], ids=lambda method: method[:12])
def test_an_unknown_method_is_denied_at_the_token_endpoint(
    house: House, client: TestClient, method: str
) -> None:
    house.create()
    house.enroll(client)
    form = {
        "grant_type": "urn:twinlock:params:oauth:grant-type:second-factor",
        "mfa_token": begin_login(client)["login"],
        "method": method,
        "answer": "000000",
    }

    response = client.post("/token", data=form)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("handle", ["x", "A" * 43, "A" * 128, "a\u0000b", "🔑", "../..", "0"])
def test_a_handle_that_nobody_was_given_is_denied(home: Home, handle: str) -> None:
    denied = told(home.answer(home.begin(), WRONG_CODE))

    assert told(home.answer(handle, home.code())) == denied
    assert told(home.client.post("/api/login/totp/begin", json={"login": handle})) == denied


@pytest.mark.parametrize("handle", ["", "A" * 129, None, 1, ["x"], {}])
def test_a_handle_that_is_none_is_refused(standing: Home, handle: Any) -> None:
    assert standing.answer(handle, WRONG_CODE).status_code == 422


def test_a_handle_of_another_purpose_is_denied(home: Home) -> None:
    """An enrollment's, a reauthentication's."""
    headers = home.john.bearer
    enrollment = home.client.post("/api/factors/totp", json={}, headers=headers).json()
    reauthentication = home.client.post("/api/reauthenticate", json={}, headers=headers).json()

    handles = [enrollment["enrollment"], reauthentication["reauthentication"]]

    assert [home.answer(handle, home.code()).status_code for handle in handles] == [401, 401]


def test_an_answer_to_somebody_elses_login_is_wrong(home: Home) -> None:
    home.house.create("alice")
    home.house.enroll(home.client, "alice")
    handle = home.begin(username="alice")

    assert home.answer(handle, home.code()).status_code == 401


@pytest.mark.parametrize(
    "answer", [None, 1, 123456, True, ["000000"]], ids=lambda answer: type(answer).__name__
)
def test_an_answer_that_is_none_is_refused(standing: Home, answer: Any) -> None:
    assert standing.answer("x", answer).status_code == 422


# --- What a pending login is not ------------------------------------------------------------


def test_a_pending_login_is_no_access_token(home: Home) -> None:
    headers = {"Authorization": f"Bearer {home.begin()}"}

    for path in ("/users/me", "/api/account", "/api/factors", "/api/sessions", "/api/events"):
        assert home.client.get(path, headers=headers).status_code == 401


def test_a_pending_login_is_no_refresh_token(home: Home) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": home.begin()}

    assert home.client.post("/token", data=form).json()["error"] == "invalid_grant"


def test_a_pending_login_is_no_session_cookie(home: Home) -> None:
    headers = {"Cookie": f"__Host-twinlock={home.begin()}"}

    assert home.client.get("/users/me", headers=headers).status_code == 401


def test_a_pending_login_enrolls_nothing(home: Home) -> None:
    """Whoever has the password could add a factor of his own."""
    handle = home.begin()
    headers = {"Authorization": f"Bearer {handle}"}
    body = {"login": handle, "enrollment": handle, "answer": home.code(), "label": "x"}

    paths = ["/api/factors/totp", "/api/factors/totp/confirm", "/api/factors/recovery_codes"]
    paths += ["/api/enrollment/totp", "/api/enrollment/totp/confirm"]
    answers = [home.client.post(path, json=body, headers=headers) for path in paths]

    assert {answer.status_code for answer in answers} <= {401, 404}


def test_a_pending_login_is_no_reauthentication(home: Home) -> None:
    body = {"reauthentication": home.begin(), "answer": home.code()}

    response = home.client.post("/api/reauthenticate/totp", json=body, headers=home.john.bearer)

    assert response.status_code == 401


# --- How it ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("after, status", [(300 - 1, 200), (300, 401), (301, 401)])
def test_a_pending_login_lives_five_minutes(home: Home, after: int, status: int) -> None:
    handle = home.begin()
    home.house.clock.now += after * SECONDS - STEP

    assert home.answer(handle, home.code()).status_code == status


def change_password(home: Home) -> None:
    home.code()
    done = home.client.post(
        "/api/account/password",
        json={"current_password": PASSWORD, "new_password": OTHER_PASSWORD},
        headers=home.john.bearer,
    )
    assert done.status_code == 200, done.text


def make_recovery_codes(home: Home) -> None:
    done = home.client.post("/api/factors/recovery_codes", json={}, headers=home.john.bearer)
    assert done.status_code == 201, done.text


def add_factor(home: Home) -> FakeAuthenticator:
    begun = home.client.post("/api/factors/totp", json={}, headers=home.john.bearer).json()
    app = FakeAuthenticator.from_uri(begun["options"]["uri"])
    body = {"enrollment": begun["enrollment"], "answer": app.code(home.house.now)}
    done = home.client.post("/api/factors/totp/confirm", json=body, headers=home.john.bearer)
    assert done.status_code == 201, done.text
    return app


def change_address(home: Home) -> None:
    administration, account = home.house.administration, home.house.account()
    done = administration.change(account, OPERATOR, email="john@example.org", now=home.house.now)
    assert isinstance(done, Account)


def set_password(home: Home) -> None:
    new = home.house.runtime.password_check.new_hash(OTHER_PASSWORD)
    home.house.administration.set_password(home.house.account(), new, OPERATOR, now=home.house.now)


def disable(home: Home) -> None:
    home.house.administration.disable(home.house.account(), OPERATOR, now=home.house.now)


def disable_and_enable(home: Home) -> None:
    disable(home)
    home.house.administration.enable(home.house.account(), OPERATOR, now=home.house.now)


def delete(home: Home) -> None:
    home.house.administration.delete(home.house.account(), OPERATOR, now=home.house.now)


def reset_factors(home: Home) -> None:
    home.house.factor_administration.reset(home.house.account(), OPERATOR, now=home.house.now)


@pytest.mark.parametrize(
    "change",
    [
        change_password,
        make_recovery_codes,
        add_factor,
        change_address,
        set_password,
        disable,
        disable_and_enable,
        delete,
        reset_factors,
    ],
    ids=lambda change: change.__name__,
)
def test_a_pending_login_dies_with_every_change_of_its_account(
    home: Home, change: Callable[[Home], object]
) -> None:
    handle = home.begin()

    change(home)

    assert home.answer(handle, home.code()).status_code == 401
    assert home.client.post("/api/login/totp/begin", json={"login": handle}).status_code == 401


def test_of_eleven_pending_logins_the_oldest_dies(home: Home) -> None:
    handles = []
    for _ in range(11):
        home.house.clock.advance(seconds=1)
        handles.append(home.begin())

    begun = [
        home.client.post("/api/login/totp/begin", json={"login": handle}).status_code
        for handle in handles
    ]

    assert begun == [401] + [200] * 10


def test_of_eleven_at_one_moment_the_newest_lives(home: Home) -> None:
    """The one that a person is looking at, whatever the clock says."""
    for _ in range(10):
        home.begin()

    assert home.answer(home.begin(), home.code()).status_code == 200


def test_pending_logins_of_others_are_left_alone(home: Home) -> None:
    handle = home.begin()
    home.house.create("alice")
    home.house.enroll(home.client, "alice")
    for _ in range(11):
        home.begin(username="alice")

    assert home.answer(handle, home.code()).status_code == 200


# --- Begin again ----------------------------------------------------------------------------


def test_a_method_can_be_begun_again(home: Home) -> None:
    handle = home.begin()

    begun = home.client.post("/api/login/totp/begin", json={"login": handle})

    assert (begun.status_code, begun.json()) == (200, {"method": "totp"})
    assert home.answer(handle, home.code()).status_code == 200


def test_beginning_again_keeps_the_counts(home: Home) -> None:
    handle = home.begin()
    for _ in range(5):
        home.client.post("/api/login/totp/begin", json={"login": handle})
        home.answer(handle, WRONG_CODE)
    home.house.clock.advance(minutes=4)

    begun = home.client.post("/api/login/totp/begin", json={"login": handle})

    assert begun.status_code == 401
    assert home.answer(handle, home.code()).status_code == 401


def test_beginning_again_does_not_make_it_live_longer(home: Home) -> None:
    handle = home.begin()
    home.house.clock.advance(minutes=4)
    home.client.post("/api/login/totp/begin", json={"login": handle})
    home.house.clock.advance(minutes=1)

    assert home.answer(handle, home.code()).status_code == 401


def test_a_spent_login_cannot_be_begun_again(home: Home) -> None:
    handle = home.begin()
    home.answer(handle, home.code())

    assert home.client.post("/api/login/totp/begin", json={"login": handle}).status_code == 401


# --- A sign-in does not end another ---------------------------------------------------------


def test_signing_in_leaves_other_sessions_alone(home: Home) -> None:
    home.answer(home.begin(), home.code())

    assert home.client.get("/users/me", headers=home.john.bearer).status_code == 200


def test_a_password_alone_opens_nothing(home: Home) -> None:
    log_in(home.client)
    home.token(PASSWORD)

    sessions = home.client.get("/api/sessions", headers=home.john.bearer).json()["sessions"]
    assert len(sessions) == 1


@pytest.mark.parametrize("seconds", [0, 1])
def test_of_too_many_sessions_the_oldest_ends(settle: Callable[..., Home], seconds: float) -> None:
    """And never the one that was just opened, even where all began at one moment."""
    home = settle(max_sessions=5)
    home.house.create("alice")
    tokens = []
    for _ in range(6):
        home.house.clock.advance(seconds=seconds)
        tokens.append(sign_in(home.client, "alice"))

    alive = [home.client.get("/users/me", headers=bearer(one)).status_code for one in tokens]

    assert alive.count(200) == 5
    assert alive[-1] == 200
    assert seconds == 0 or alive[0] == 401
