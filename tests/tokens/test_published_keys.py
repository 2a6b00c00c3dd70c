"""What a service believes of published keys, for how long, and how often it asks."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey

from twinlock.core.errors import KeysUnavailableError
from twinlock.testing.clock import MovableClock
from twinlock.tokens.published_keys import MAX_AGE, RENEW_AFTER, SPACING, PublishedKeys

TICK = timedelta(microseconds=1)


class Issuer:
    """Answers what it is told to, and counts."""

    def __init__(self) -> None:
        self.kids = ["old"]
        self.is_down = False
        self.asked = 0
        self.free = threading.Event()
        self.free.set()

    def __call__(self) -> dict[str, ECKey]:
        self.asked += 1
        self.free.wait(10)
        if self.is_down:
            raise KeysUnavailableError("down")
        return {kid: ECKey.generate_key("P-256") for kid in self.kids}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.free.set()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def keys(issuer: Issuer) -> PublishedKeys:
    return PublishedKeys(issuer)


def renew(keys: PublishedKeys, clock: MovableClock, kid: str = "old") -> bool:
    """Renew and wait for it, as a service does; say whether there was anything to wait for."""
    fetching = keys.renew(kid, now=clock())
    if fetching is None:
        return False
    fetching.result(10)
    return True


def settle(keys: PublishedKeys) -> None:
    """Wait for what goes on in the background."""
    assert keys._fetching is not None
    keys._fetching.result(10)


def test_nothing_is_believed_before_the_first_fetch(
    keys: PublishedKeys, clock: MovableClock
) -> None:
    assert not keys.has("old", now=clock())
    with pytest.raises(KeysUnavailableError):
        keys.current(now=clock())


def test_the_first_token_waits_for_the_keys_and_later_ones_do_not(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    assert renew(keys, clock)
    assert not renew(keys, clock)
    assert keys.has("old", now=clock())
    assert list(keys.current(now=clock())) == ["old"]
    assert issuer.asked == 1


def test_keys_are_renewed_in_the_background_after_five_minutes(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    renew(keys, clock)
    clock.now += RENEW_AFTER - TICK
    renew(keys, clock)
    assert issuer.asked == 1

    clock.now += TICK
    issuer.kids = ["old", "new"]

    assert not renew(keys, clock), "nobody waits"
    settle(keys)
    assert (issuer.asked, keys.has("new", now=clock())) == (2, True)


def test_an_unknown_key_is_asked_for_at_most_every_five_seconds(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    renew(keys, clock)
    issuer.kids = ["new"]

    clock.now += SPACING - TICK
    renew(keys, clock, "new")
    assert (issuer.asked, keys.has("new", now=clock())) == (1, False)

    clock.now += TICK
    assert renew(keys, clock, "new")
    assert (issuer.asked, keys.has("new", now=clock())) == (2, True)
    for number in range(100):
        renew(keys, clock, f"invented {number}")
    assert issuer.asked == 2


def test_a_key_that_is_published_no_more_is_believed_no_more(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    renew(keys, clock)
    issuer.kids = ["new"]
    clock.now += SPACING

    renew(keys, clock, "new")

    assert not keys.has("old", now=clock())


def test_many_who_wait_cause_one_fetch(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    issuer.free.clear()
    clock.now += SPACING

    waited_for = {id(keys.renew("old", now=clock())) for _ in range(100)}
    clock.now += 2 * SPACING
    waited_for.add(id(keys.renew("old", now=clock())))
    issuer.free.set()
    settle(keys)

    assert (len(waited_for), issuer.asked) == (1, 1)


def test_last_good_keys_are_believed_for_an_hour(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    renew(keys, clock)
    issuer.is_down = True
    clock.now += MAX_AGE

    assert not renew(keys, clock)
    settle(keys)
    assert keys.has("old", now=clock())

    clock.now += TICK
    assert not keys.has("old", now=clock())
    with pytest.raises(KeysUnavailableError):
        keys.current(now=clock())


def test_an_issuer_that_is_down_is_asked_at_most_every_five_seconds(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    issuer.is_down = True
    for _ in range(10):
        renew(keys, clock)
    assert issuer.asked == 1

    issuer.is_down = False
    clock.now += SPACING
    renew(keys, clock)

    assert keys.has("old", now=clock())


def test_age_counts_from_when_the_keys_were_asked_for(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    issuer.free.clear()
    keys.renew("old", now=clock())
    clock.now += timedelta(seconds=3)
    issuer.free.set()
    settle(keys)

    clock.now += MAX_AGE - timedelta(seconds=3)
    assert keys.has("old", now=clock())
    clock.now += TICK
    assert not keys.has("old", now=clock())


def test_a_clock_that_is_set_back_makes_nothing_fresh(
    keys: PublishedKeys, issuer: Issuer, clock: MovableClock
) -> None:
    renew(keys, clock)
    clock.now -= timedelta(days=1)

    assert not keys.has("old", now=clock())
    renew(keys, clock)

    assert (issuer.asked, keys.has("old", now=clock())) == (2, True)


def test_a_fetch_that_breaks_in_an_unforeseen_way_leaves_the_last_keys(
    clock: MovableClock,
) -> None:
    answers = iter([{"old": ECKey.generate_key("P-256")}])
    keys = PublishedKeys(lambda: next(answers))
    renew(keys, clock)
    clock.now += SPACING

    renew(keys, clock, "new")

    assert keys.has("old", now=clock())
