"""Second-factor answers are counted: one count per account for all methods, doors and sessions.

5 in any 5 minutes, 20 in any hour, 50 in any 24 hours; after 100 wrong ones in a row short codes
stop. The clock stands still unless a test moves it, so each limit is met to the microsecond.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from httpx2 import Response
from sqlalchemy import Connection, text

from tests.support.home import STEP, WRONG_CODE, Home, told
from tests.support.house import OPERATOR, PASSWORD, bearer
from twinlock.audit.events import Caller, EventType
from twinlock.core.proof import Reason
from twinlock.flows.counting import Counting
from twinlock.throttle.policy import Throttled

WRONG_RECOVERY_CODE = "0000-0000-0000-0000-0000-0000"
MICROSECOND = timedelta(microseconds=1)
MINUTES = timedelta(minutes=1)
HOURS = timedelta(hours=1)
DAYS = timedelta(days=1)


def by_two_steps(home: Home) -> Response:
    return home.answer(home.begin(), WRONG_CODE)


def by_recovery_code(home: Home) -> Response:
    return home.answer(home.begin(), WRONG_RECOVERY_CODE, "recovery_codes")


def behind_the_password(home: Home) -> Response:
    return home.token(PASSWORD + WRONG_CODE)


def by_otp(home: Home) -> Response:
    return home.token(PASSWORD, otp=WRONG_RECOVERY_CODE)


def by_grant(home: Home) -> Response:
    return home.grant(home.token(PASSWORD).json()["mfa_token"], WRONG_CODE)


def by_reauthentication(home: Home, answer: str = WRONG_CODE) -> Response:
    headers = home.john.bearer
    begun = home.client.post("/api/reauthenticate", json={}, headers=headers).json()
    body = {"reauthentication": begun["reauthentication"], "answer": answer}
    return home.client.post("/api/reauthenticate/totp", json=body, headers=headers)


DOORS = [
    by_two_steps,
    by_recovery_code,
    behind_the_password,
    by_otp,
    by_grant,
    by_reauthentication,
]


def right(home: Home) -> Response:
    """Answer right; moves the clock on by half a minute."""
    return home.answer(home.begin(), home.code())


def count(home: Home, tries: int) -> list[bool]:
    """Count so many tries at once as a flow does; tell for each whether it was let through."""
    counting = Counting(home.house.runtime.parts)
    subject, now = home.john.account.subject, home.house.now

    def take(tx: Connection) -> list[bool]:
        taken = [
            counting.take_second_factor_try(tx, subject, Caller(), now=now) for _ in range(tries)
        ]
        return [not isinstance(one, Throttled) for one in taken]

    return home.house.database.transaction_once(take)


# --- Five in five minutes -------------------------------------------------------------------


def test_the_fifth_answer_may_be_right(home: Home) -> None:
    for _ in range(4):
        by_two_steps(home)

    assert right(home).status_code == 200


def test_the_sixth_answer_waits(home: Home) -> None:
    for _ in range(5):
        by_two_steps(home)

    response = right(home)

    assert response.status_code == 429
    assert response.headers["retry-after"] == "270"
    assert response.json()["type"] == "too_many_tries"


@pytest.mark.parametrize("wait, status", [(5 * MINUTES - MICROSECOND, 429), (5 * MINUTES, 200)])
def test_five_minutes_later_it_goes_on(home: Home, wait: timedelta, status: int) -> None:
    for _ in range(5):
        by_two_steps(home)
    home.house.clock.now += wait - STEP

    assert right(home).status_code == status


def test_the_window_slides(home: Home) -> None:
    """One try is free again when the first is five minutes old, not five."""
    for _ in range(5):
        by_two_steps(home)
        home.house.clock.now += MINUTES

    answers = [by_two_steps(home).status_code, by_two_steps(home).status_code]

    assert answers == [401, 429]


def test_waiting_is_not_made_longer_by_asking(home: Home) -> None:
    for _ in range(5):
        by_two_steps(home)
    for _ in range(9):
        home.house.clock.now += STEP
        assert by_two_steps(home).status_code == 429

    assert right(home).status_code == 200


def test_a_throttled_code_is_not_spent(home: Home) -> None:
    """Nothing is evaluated, so the same code still works while it is shown."""
    for _ in range(5):
        by_two_steps(home)
    home.house.clock.now += 5 * MINUTES - STEP - MICROSECOND
    code = home.code()
    throttled = home.answer(home.begin(), code)
    home.house.clock.now += MICROSECOND

    assert throttled.status_code == 429
    assert home.answer(home.begin(), code).status_code == 200


def test_a_throttled_answer_does_not_void_the_pending_login(home: Home) -> None:
    for _ in range(5):
        by_two_steps(home)
    home.house.clock.now += 2 * MINUTES
    handle = home.begin()
    for _ in range(6):
        assert home.answer(handle, WRONG_CODE).status_code == 429
    home.house.clock.now += 3 * MINUTES

    assert home.answer(handle, home.code()).status_code == 200


# --- Twenty in an hour, fifty in a day ------------------------------------------------------


@pytest.mark.parametrize("tries, status", [(4, 200), (5, 429)])
def test_twenty_answers_in_an_hour(home: Home, tries: int, status: int) -> None:
    for _ in range(3):
        assert all(count(home, 5))
        home.house.clock.now += 5 * MINUTES
    assert all(count(home, tries))
    home.house.clock.now += 5 * MINUTES

    response = right(home)

    assert response.status_code == status
    assert status == 200 or response.headers["retry-after"] == str(40 * 60 - 30)


@pytest.mark.parametrize("wait, status", [(HOURS - MICROSECOND, 429), (HOURS, 200)])
def test_an_hour_later_it_goes_on(home: Home, wait: timedelta, status: int) -> None:
    begun = home.house.now
    for _ in range(4):
        count(home, 5)
        home.house.clock.now += 5 * MINUTES
    home.house.clock.now = begun + wait - STEP

    assert right(home).status_code == status


def fill_a_day(home: Home, tries: int) -> None:
    """Count so many tries within three hours, as fast as the shorter limits allow."""
    for _hour in range(3):
        for _ in range(4):
            assert all(count(home, min(5, tries)))
            tries -= min(5, tries)
            home.house.clock.now += 5 * MINUTES
        home.house.clock.now += 40 * MINUTES


@pytest.mark.parametrize("tries, status", [(49, 200), (50, 429)])
def test_fifty_answers_in_a_day(home: Home, tries: int, status: int) -> None:
    fill_a_day(home, tries)

    response = right(home)

    assert response.status_code == status
    assert status == 200 or response.headers["retry-after"] == str(21 * 3600 - 30)


@pytest.mark.parametrize("wait, status", [(DAYS - MICROSECOND, 429), (DAYS, 200)])
def test_a_day_later_it_goes_on(home: Home, wait: timedelta, status: int) -> None:
    begun = home.house.now
    fill_a_day(home, 50)
    home.house.clock.now = begun + wait - STEP

    assert right(home).status_code == status


# --- One count ------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_door_counts(home: Home, door: Callable[[Home], Response]) -> None:
    for _ in range(5):
        assert door(home).status_code in {400, 401}

    assert right(home).status_code == 429


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_door_is_closed_by_the_others(home: Home, door: Callable[[Home], Response]) -> None:
    """Only the holder of a pending login or a session is told."""
    for other in [
        by_two_steps,
        by_recovery_code,
        behind_the_password,
        by_grant,
        by_reauthentication,
    ]:
        other(home)

    response = door(home)

    if door in {behind_the_password, by_otp}:
        assert told(response) == told(home.token("wrong", otp=WRONG_CODE))
    else:
        assert response.status_code == 429
        assert response.headers["retry-after"] == "300"
    assert home.events(EventType.LOGIN_THROTTLED)[0].reason == Reason.THROTTLED


def test_a_right_code_behind_the_password_waits_like_any_other(home: Home) -> None:
    count(home, 5)

    assert home.token(PASSWORD + home.code()).status_code == 400
    assert home.token(PASSWORD, otp=home.recovery_code()).status_code == 400


def test_a_recovery_code_waits_like_any_other(home: Home) -> None:
    count(home, 5)

    response = home.answer(home.begin(), home.recovery_code(), "recovery_codes")

    assert response.status_code == 429


def test_networks_and_browsers_do_not_matter(home: Home) -> None:
    """Whoever knows the password could have as many networks as he likes."""
    handles = [home.begin() for _ in range(6)]
    answers = [
        home.from_address(f"192.0.2.{number}").post(
            "/api/login/totp", json={"login": handle, "answer": WRONG_CODE}
        )
        for number, handle in enumerate(handles)
    ]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429]


def test_accounts_are_counted_apart(home: Home) -> None:
    home.house.create("alice")
    alice = home.house.enroll(home.client, "alice")
    count(home, 5)
    home.house.clock.now += STEP

    answer = home.answer(home.begin(username="alice"), alice.phone.code(home.house.now))

    assert answer.status_code == 200


def test_nothing_is_counted_before_the_password_was_right(home: Home) -> None:
    """Or anybody could lock anybody out of the second step."""
    for _ in range(6):
        home.token("wrong", otp=WRONG_CODE)

    assert right(home).status_code == 200


def test_a_dead_login_counts_nothing(home: Home) -> None:
    handle = home.begin()
    home.house.clock.now += 5 * MINUTES
    for _ in range(6):
        home.answer(handle, WRONG_CODE)
        home.answer("nobody's", WRONG_CODE)

    assert right(home).status_code == 200


def test_a_wrong_confirming_code_counts_with_its_enrollment_only(home: Home) -> None:
    """And ends it at the fifth."""
    headers = home.john.bearer
    begun = home.client.post("/api/factors/totp", json={}, headers=headers).json()
    body = {"enrollment": begun["enrollment"], "answer": WRONG_CODE}

    answers = [
        home.client.post("/api/factors/totp/confirm", json=body, headers=headers).json()["type"]
        for _ in range(6)
    ]

    assert answers == ["wrong_answer"] * 5 + ["enrollment_expired"]
    assert right(home).status_code == 200


# --- What is given back ---------------------------------------------------------------------


def test_right_answers_do_not_count(home: Home) -> None:
    answers = [right(home).status_code for _ in range(6)]

    assert answers == [200] * 6


def test_a_right_answer_gives_back_its_own_try_and_no_other(home: Home) -> None:
    count(home, 4)

    answers = [right(home).status_code, by_two_steps(home).status_code, right(home).status_code]

    assert answers == [200, 401, 429]


@pytest.mark.parametrize("door", ["two_steps", "token", "grant", "reauthentication"])
def test_a_right_answer_is_given_back_at_every_door(home: Home, door: str) -> None:
    count(home, 4)

    for _ in range(2):
        code = home.code()
        match door:
            case "two_steps":
                answer = home.answer(home.begin(), code)
            case "token":
                answer = home.token(PASSWORD + code)
            case "grant":
                answer = home.grant(home.begin(), code)
            case _:
                answer = by_reauthentication(home, code)
        assert answer.status_code == 200


def test_the_repeat_of_a_spent_code_gives_back_its_try(home: Home) -> None:
    """A form that was sent twice must not lock anybody out."""
    code = home.code()
    answers = [home.answer(home.begin(), code).status_code for _ in range(8)]

    assert answers == [200] + [401] * 7
    assert right(home).status_code == 200


def test_a_repeat_gives_back_no_other_try(home: Home) -> None:
    code = home.code()
    home.answer(home.begin(), code)
    count(home, 4)
    for _ in range(3):
        home.answer(home.begin(), code)

    answers = [by_two_steps(home).status_code, right(home).status_code]

    assert answers == [401, 429]


def test_garbage_counts_like_a_wrong_answer(home: Home) -> None:
    for answer in ("", "x", "12345", "1234567", "🔑"):
        home.answer(home.begin(), answer)

    assert right(home).status_code == 429


# --- A hundred in a row ---------------------------------------------------------------------


def set_in_a_row(home: Home, tries: int) -> None:
    """Leave a count as it is so many wrong answers in a row later, and a day after the last."""
    count(home, 1)
    home.execute(text("UPDATE throttle SET in_a_row = :tries WHERE in_a_row > 0"), tries=tries)
    home.house.clock.now += DAYS


def test_a_hundred_wrong_answers_take_two_days(home: Home) -> None:
    """Fifty in 24 hours let no more through, and every one is in the row."""
    for _ in range(100):
        assert count(home, 1) == [True]
        home.house.clock.now += DAYS / 50

    assert right(home).status_code == 401
    assert home.events(EventType.LOGIN_DENIED)[0].reason == Reason.STOPPED


@pytest.mark.parametrize("tries, status", [(99, 200), (100, 401)])
def test_after_a_hundred_wrong_answers_codes_stop(home: Home, tries: int, status: int) -> None:
    set_in_a_row(home, tries)

    assert right(home).status_code == status


def test_time_does_not_lift_the_stop(home: Home) -> None:
    set_in_a_row(home, 100)
    home.house.clock.now += 100 * DAYS

    assert right(home).status_code == 401


def test_a_stopped_code_is_told_as_a_wrong_one(home: Home) -> None:
    set_in_a_row(home, 100)

    stopped = [told(right(home)), told(home.token(PASSWORD + home.code()))]

    assert stopped == [told(by_two_steps(home)), told(home.token("wrong" + WRONG_CODE))]


def test_a_stopped_code_is_not_spent(home: Home) -> None:
    set_in_a_row(home, 100)
    code = home.code()
    stopped = home.answer(home.begin(), code)
    home.house.administration.unlock(home.house.account(), OPERATOR, now=home.house.now)

    assert stopped.status_code == 401
    assert home.answer(home.begin(), code).status_code == 200


@pytest.mark.parametrize("door", ["two_steps", "token"])
def test_recovery_codes_work_through_the_stop_and_lift_it(home: Home, door: str) -> None:
    set_in_a_row(home, 100)
    code = home.recovery_code()

    if door == "token":
        answer = home.token(PASSWORD, otp=code)
    else:
        answer = home.answer(home.begin(), code, "recovery_codes")

    assert answer.status_code == 200
    assert right(home).status_code == 200


def test_an_administrator_lifts_the_stop(home: Home) -> None:
    set_in_a_row(home, 100)

    home.house.administration.unlock(home.house.account(), OPERATOR, now=home.house.now)

    assert right(home).status_code == 200


def test_a_new_password_does_not_lift_the_stop(home: Home) -> None:
    set_in_a_row(home, 100)
    new = home.house.runtime.password_check.new_hash(PASSWORD)

    home.house.administration.set_password(home.house.account(), new, OPERATOR, now=home.house.now)

    assert right(home).status_code == 401


def test_a_right_answer_ends_the_row(home: Home) -> None:
    set_in_a_row(home, 99)
    right(home)
    home.house.clock.now += DAYS
    by_two_steps(home)

    assert right(home).status_code == 200


def test_a_repeat_does_not_lengthen_the_row(home: Home) -> None:
    code = home.code()
    home.answer(home.begin(), code)
    count(home, 1)
    home.execute(text("UPDATE throttle SET in_a_row = 99 WHERE in_a_row > 0"))
    home.answer(home.begin(), code)

    assert right(home).status_code == 200


def test_a_stopped_session_steps_up_with_a_recovery_code(home: Home) -> None:
    home.house.clock.now += 8 * MINUTES
    count(home, 1)
    home.execute(text("UPDATE throttle SET in_a_row = 100 WHERE in_a_row > 0"))

    assert by_reauthentication(home, home.code()).status_code == 401


# --- What counts outlive --------------------------------------------------------------------


def restart(home: Home) -> None:
    home.house.auth.close()
    home.house.auth.start()


def test_counts_survive_a_restart(home: Home) -> None:
    for _ in range(5):
        by_two_steps(home)

    restart(home)

    assert right(home).status_code == 429


def test_pending_logins_survive_a_restart(home: Home) -> None:
    handle = home.begin()

    restart(home)

    assert home.answer(handle, home.code()).status_code == 200


def test_a_clock_that_was_set_back_locks_nobody_out_for_long(home: Home) -> None:
    """What lies in the future counts as made now."""
    count(home, 5)
    home.house.clock.now -= 10 * DAYS

    response = by_two_steps(home)
    home.house.clock.now += 5 * MINUTES

    assert (response.status_code, response.headers["retry-after"]) == (429, "300")
    assert by_two_steps(home).status_code == 401


def test_a_clock_that_was_set_back_gives_no_tries_away(home: Home) -> None:
    count(home, 5)
    home.house.clock.now -= timedelta(seconds=30)

    assert by_two_steps(home).status_code == 429


def test_a_session_goes_on_while_answers_wait(home: Home) -> None:
    count(home, 5)

    me = home.client.get("/users/me", headers=home.john.bearer)
    refreshed = home.client.post(
        "/token",
        data={"grant_type": "refresh_token", "refresh_token": home.john.tokens["refresh_token"]},
    )

    assert me.status_code == 200
    assert home.client.get("/users/me", headers=bearer(refreshed.json())).status_code == 200


def test_repeated_throttled_answers_are_one_event(home: Home) -> None:
    """An attacker must not fill the audit log."""
    count(home, 5)
    for _ in range(4):
        by_two_steps(home)

    (event,) = home.events(EventType.LOGIN_THROTTLED)
    assert (event.subject_id, event._mapping["count"]) == (home.john.account.subject, 4)
