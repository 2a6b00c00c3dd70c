"""What a server repeats in the background goes on after a round that failed, and ends with it."""

import logging
import threading

import pytest

from twinlock.core.errors import DatabaseUnavailableError
from twinlock.web.rounds import Rounds


def test_a_round_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = [DatabaseUnavailableError("silent"), ZeroDivisionError("a bug of ours")]
    third = threading.Event()

    def work() -> None:
        if outcomes:
            raise outcomes.pop(0)
        third.set()

    rounds = Rounds(work, every_seconds=0.001, name="test", failed="test_failed")
    with caplog.at_level(logging.WARNING, logger="twinlock.web"):
        rounds.start()
        assert third.wait(30)
        rounds.close()

    told = [(record.message, record.levelname) for record in caplog.records]
    assert told == [("test_failed", "WARNING"), ("test_failed", "ERROR")]


def test_closing_waits_for_the_round_under_way_which_can_stop_early() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        rounds.closing.wait(30)
        ended.set()

    rounds = Rounds(work, every_seconds=0.001, name="test", failed="test_failed")
    rounds.start()
    assert begun.wait(30)
    assert rounds.are_running

    rounds.close()

    assert ended.is_set()
    assert not rounds.are_running


def test_what_was_closed_can_be_started_again() -> None:
    worked = threading.Semaphore(0)
    rounds = Rounds(worked.release, every_seconds=0.001, name="test", failed="test_failed")

    for _ in range(2):
        rounds.start()
        assert worked.acquire(timeout=30)
        rounds.close()
        while worked.acquire(blocking=False):
            pass
