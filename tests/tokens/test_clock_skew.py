"""A token from a machine whose clock is ahead is believed as early as configured, never longer."""

from datetime import timedelta

from tests.support.house import House, bearer, sign_in

ACCESS_TOKEN_SECONDS = 600


def test_a_token_of_another_machine_may_be_early_and_not_late(sqlite_house: House) -> None:
    house = sqlite_house.again(clock_skew=timedelta(seconds=5))
    with house.open() as client:
        house.create()
        headers = bearer(sign_in(client))

        house.clock.advance(seconds=-5)
        early = client.get("/users/me", headers=headers).status_code
        house.clock.advance(seconds=5 + ACCESS_TOKEN_SECONDS - 1)
        in_time = client.get("/users/me", headers=headers).status_code
        house.clock.advance(seconds=1)
        late = client.get("/users/me", headers=headers).status_code

    assert (early, in_time, late) == (200, 200, 401)


def test_a_token_from_further_ahead_is_refused(sqlite_house: House) -> None:
    house = sqlite_house.again(clock_skew=timedelta(seconds=5))
    with house.open() as client:
        house.create()
        headers = bearer(sign_in(client))

        house.clock.advance(seconds=-6)

        assert client.get("/users/me", headers=headers).status_code == 401


def test_one_machine_believes_nothing_from_its_own_future(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        headers = bearer(sign_in(client))

        sqlite_house.clock.advance(seconds=-1)

        assert client.get("/users/me", headers=headers).status_code == 401
