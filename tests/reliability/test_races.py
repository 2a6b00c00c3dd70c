"""A short race; `python -m reliability races` runs the thousand."""

import asyncio

import pytest

from reliability import races
from reliability.races import Effort


@pytest.mark.timeout(600)
def test_what_may_be_used_once_wins_once_over_several_processes() -> None:
    """Goal R2, in small, against `twinlock serve` with two workers."""
    report = asyncio.run(races.run("sqlite", Effort(rounds=1, racers=16, workers=2)))

    assert report.broken == []
    assert not report.surprises
    assert sum(n for what, n in report.counts.items() if what.endswith(": races")) == 7
