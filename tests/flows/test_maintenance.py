"""What has expired is cleared away, and nothing else."""

from collections.abc import Mapping
from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.support.house import OPERATOR, House, begin_login, sign_in, token
from twinlock.flows.maintenance import KEEP_ENDED, clean_up, count_schemes

KEEP_EVENTS = timedelta(days=400)
SECOND = timedelta(seconds=1)


def never_stop() -> bool:
    return False


def clean(house: House, *, after: timedelta = timedelta(0), batch: int = 200) -> Mapping[str, int]:
    return clean_up(
        house.runtime.parts,
        keep_events=KEEP_EVENTS,
        now=house.now + after,
        pause=never_stop,
        batch=batch,
    )


def count(house: House, table: str) -> int:
    return int(
        house.database.reading(
            lambda db: db.execute(text(f"select count(*) from {table}")).scalar_one()
        )
    )


def test_what_lives_stays(house: House, client: TestClient) -> None:
    house.create()
    house.enroll(client)
    begin_login(client)
    token(client, "johndoe", "wrong password")

    deleted = clean(house)

    assert dict(deleted) == dict.fromkeys(deleted, 0)
    assert sign_in_again(house, client)


def sign_in_again(house: House, client: TestClient) -> bool:
    house.create("alice")
    return bool(sign_in(client, "alice"))


def test_a_pending_login_goes_when_its_time_is_over(house: House, client: TestClient) -> None:
    house.create()
    house.enroll(client)
    begin_login(client)
    lifetime = house.settings.pending_login_lifetime

    assert clean(house, after=lifetime)["pending"] == 0
    assert clean(house, after=lifetime + SECOND)["pending"] == 1
    assert count(house, "pending") == 0


def test_a_session_goes_when_its_time_is_over(house: House, client: TestClient) -> None:
    house.create()
    sign_in(client)
    lifetime = house.settings.refresh_absolute_lifetime

    assert clean(house, after=lifetime)["sessions"] == 0
    assert clean(house, after=lifetime + SECOND)["sessions"] == 1
    assert count(house, "session") == 0


def test_a_session_that_was_ended_goes_a_week_later(house: House, client: TestClient) -> None:
    account = house.create()
    sign_in(client)
    sign_in(client)
    house.administration.end_sessions(account, None, OPERATOR, now=house.now)
    sign_in(client)

    assert clean(house, after=KEEP_ENDED)["ended_sessions"] == 0
    assert clean(house, after=KEEP_ENDED + SECOND)["ended_sessions"] == 2
    assert count(house, "session") == 1


def test_counts_of_tries_and_known_networks_go_with_their_windows(
    house: House, client: TestClient
) -> None:
    house.create()
    sign_in(client)
    token(client, "johndoe", "wrong password")
    token(client, "nobody", "wrong password")
    assert count(house, "throttle") > 0

    deleted = clean(house, after=timedelta(days=366))

    assert deleted["counts"] > 0
    assert deleted["familiar"] > 0
    assert count(house, "throttle") == count(house, "familiar") == 0


def test_events_are_kept_as_long_as_the_setting_says(house: House, client: TestClient) -> None:
    house.create()

    assert clean(house, after=KEEP_EVENTS)["events"] == 0
    assert clean(house, after=KEEP_EVENTS + SECOND)["events"] > 0


def test_it_goes_on_in_batches_until_all_is_gone(house: House, client: TestClient) -> None:
    account = house.create()
    for _ in range(5):
        sign_in(client)
    house.administration.end_sessions(account, None, OPERATOR, now=house.now)
    pauses: list[int] = []

    def note() -> bool:
        pauses.append(count(house, "session"))
        return False

    clean_up(
        house.runtime.parts,
        keep_events=KEEP_EVENTS,
        now=house.now + KEEP_ENDED + SECOND,
        pause=note,
        batch=2,
    )

    assert list(dict.fromkeys(pauses)) == [5, 3, 1, 0]


def test_it_stops_between_two_transactions_when_told(house: House, client: TestClient) -> None:
    account = house.create()
    for _ in range(5):
        sign_in(client)
    house.administration.end_sessions(account, None, OPERATOR, now=house.now)

    deleted = clean_up(
        house.runtime.parts,
        keep_events=KEEP_EVENTS,
        now=house.now + KEEP_ENDED + SECOND,
        pause=lambda: count(house, "session") < 5,
        batch=2,
    )

    assert deleted["ended_sessions"] == 2


def test_schemes_are_counted_as_accounts_hold_them(house: House, client: TestClient) -> None:
    house.create()
    house.create("alice")
    house.create("bob", password=None)

    assert dict(count_schemes(house.runtime.parts)) == {"argon2id$m=64,t=1,p=1": 2}


def test_a_servers_upkeep_cleans_and_ends_with_it(house: House, client: TestClient) -> None:
    house.create()
    sign_in(client)
    house.clock.advance(days=91)

    house.runtime.upkeep.work()
    house.runtime.upkeep.work()

    assert count(house, "session") == 0
    upkeep = house.runtime.upkeep
    house.auth.close()
    assert upkeep.is_running is False
