"""What many rows of one moment are worth: the oldest is the oldest, and order is order.

A test's clock stands still, and two requests of a busy server can share a millisecond.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.support.home import Home
from tests.support.house import bearer, sign_in
from twinlock.core.clock import in_order
from twinlock.core.secrets import uuid7

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_ids_of_one_millisecond_rise_in_the_order_they_are_made() -> None:
    ids = [uuid7(NOON) for _ in range(1_000)]

    assert ids == sorted(set(ids))
    assert {one[12] for one in ids} == {"7"}
    assert {one[16] for one in ids} <= set("89ab")


def test_what_begins_at_one_moment_is_told_apart() -> None:
    with ThreadPoolExecutor(8) as pool:
        moments = list(pool.map(lambda _: in_order(NOON), range(500)))

    assert len(set(moments)) == 500
    assert (max(moments) - min(moments)).total_seconds() < 0.001
    assert in_order(NOON.replace(hour=11)) == NOON.replace(hour=11)


def test_the_eleventh_login_ends_the_first_one_of_the_same_moment(home: Home) -> None:
    handles = [home.begin() for _ in range(11)]

    statuses = [home.answer(handle, home.code()).status_code for handle in handles[:2]]

    assert statuses == [401, 200]


def test_the_fifty_first_session_ends_the_first_one_of_the_same_moment(home: Home) -> None:
    home.house.create("mary")
    opened = [bearer(sign_in(home.client, "mary")) for _ in range(51)]

    alive = [home.client.get("/users/me", headers=one).status_code for one in opened]

    assert alive == [401] + [200] * 50


def test_the_history_of_one_moment_is_told_backwards(home: Home) -> None:
    home.house.create("mary")
    for _ in range(4):
        headers = bearer(sign_in(home.client, "mary"))
        home.client.post("/api/logout", headers=headers)
    headers = bearer(sign_in(home.client, "mary"))

    events = home.client.get("/api/events", headers=headers).json()["events"]

    told = [one["type"] for one in events]
    assert told == ["login.succeeded", *["session.ended", "login.succeeded"] * 4, "account.created"]
