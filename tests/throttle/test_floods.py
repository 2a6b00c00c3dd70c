"""What a process remembers of counts that refuse: a flood's, for a second at most."""

from datetime import UTC, datetime, timedelta

import pytest

from twinlock.throttle.floods import FLOOD, Floods
from twinlock.throttle.policy import Throttled

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = b"a network"
SECOND = timedelta(seconds=1)
HOUR = Throttled(timedelta(hours=1))


def flooded(*, at: float = 0.0, wait: Throttled = HOUR) -> Floods[str]:
    floods = Floods[str]()
    for _ in range(FLOOD):
        floods.note(KEY, wait, "somebody", now=NOW, at=at)
    return floods


def test_a_few_refusals_are_no_flood() -> None:
    floods = Floods[str]()
    for _ in range(FLOOD - 1):
        floods.note(KEY, HOUR, "somebody", now=NOW, at=0.0)

    assert floods.refused(KEY, now=NOW, at=0.0) is None


def test_refusals_one_after_another_are_no_flood() -> None:
    floods = Floods[str]()
    for number in range(10 * FLOOD):
        floods.note(KEY, HOUR, "somebody", now=NOW, at=number / (FLOOD - 1))

        assert floods.refused(KEY, now=NOW, at=number / (FLOOD - 1)) is None


def test_a_flood_is_refused_with_what_is_left_of_the_wait() -> None:
    floods = flooded()

    assert floods.refused(KEY, now=NOW + SECOND / 2, at=0.5) == Throttled(
        timedelta(hours=1) - SECOND / 2
    )
    assert floods.refused(b"another", now=NOW, at=0.5) is None


@pytest.mark.parametrize("at, is_refused", [(0.899, True), (0.9, False)])
def test_before_a_second_is_over_the_database_is_asked(at: float, is_refused: bool) -> None:
    assert (flooded().refused(KEY, now=NOW, at=at) is not None) is is_refused


def test_a_flood_that_goes_on_costs_one_look_a_second() -> None:
    floods = flooded()
    for _ in range(FLOOD):
        floods.refused(KEY, now=NOW, at=0.9)

    floods.note(KEY, HOUR, "somebody", now=NOW, at=1.5)

    assert floods.refused(KEY, now=NOW, at=2.3) is not None


def test_when_memory_ends_one_try_of_a_flood_asks_the_database() -> None:
    floods = flooded()

    assert floods.refused(KEY, now=NOW, at=0.95) is None
    floods.ask(KEY, at=0.95)

    assert floods.refused(KEY, now=NOW, at=1.04) is not None
    assert floods.refused(KEY, now=NOW, at=1.06) is None


def test_who_comes_back_after_a_flood_is_not_held_up() -> None:
    floods = flooded()

    floods.ask(KEY, at=5.0)
    floods.ask(b"another", at=5.0)

    assert floods.refused(KEY, now=NOW, at=5.0) is None


def test_a_flood_that_has_ended_is_forgotten() -> None:
    floods = flooded()

    floods.note(KEY, HOUR, "somebody", now=NOW, at=60.0)

    assert floods.refused(KEY, now=NOW, at=60.0) is None


def test_nothing_is_refused_longer_than_the_wait() -> None:
    floods = flooded(wait=Throttled(SECOND / 4))

    assert floods.refused(KEY, now=NOW + SECOND / 4, at=0.1) is None  # the clock went forward
    assert floods.refused(KEY, now=NOW, at=0.25) is None  # the clock stands still


def test_a_clock_that_was_set_back_makes_no_wait_longer() -> None:
    assert flooded().refused(KEY, now=NOW - timedelta(days=1), at=0.5) == HOUR


def test_a_try_given_back_lets_the_database_decide() -> None:
    floods = flooded()

    floods.forget(KEY)
    floods.forget(b"another")

    floods.ask(KEY, at=100.1)

    assert floods.refused(KEY, now=NOW, at=100.1) is None


def test_what_was_refused_from_memory_is_told_with_the_next_look() -> None:
    floods = flooded()
    for _ in range(5):
        floods.refused(KEY, now=NOW, at=0.5)

    assert floods.note(KEY, HOUR, "somebody", now=NOW, at=90.0) == 6
    assert floods.note(KEY, HOUR, "somebody", now=NOW, at=90.0) == 1


def test_memory_is_bounded_and_forgets_who_was_asked_the_longest_ago() -> None:
    floods = Floods[str](capacity=2)
    for key in (KEY, b"second", KEY, b"third"):
        for _ in range(FLOOD):
            floods.note(key, HOUR, "somebody", now=NOW, at=0.0)

    assert len(floods) == 2
    assert floods.refused(b"second", now=NOW, at=0.0) is None
    assert floods.refused(KEY, now=NOW, at=0.0) is not None


def test_what_nobody_was_told_can_be_taken_once() -> None:
    floods = flooded()
    for _ in range(5):
        floods.refused(KEY, now=NOW, at=0.5)

    (untold,) = floods.take_untold()

    assert (untold.key, untold.by, untold.times) == (KEY, "somebody", 5)
    assert floods.take_untold() == []
    assert floods.note(KEY, HOUR, "somebody", now=NOW, at=90.0) == 1
