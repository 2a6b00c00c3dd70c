"""A short crash test; `python -m reliability crash` is the long one."""

import asyncio

import pytest

from reliability import crash
from reliability.crash import Effort


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_what_was_told_is_there_after_a_kill_and_nothing_is_spent_twice(kind: str) -> None:
    """Goal R1, in small: killed in the middle of sign-ins, refreshes and enrollments."""
    effort = Effort(kills=2, accounts=60, bare=30, looks_back=False)

    report = asyncio.run(crash.run(kind, effort, seed=4))

    assert report.broken == []
    assert not report.surprises
    assert report.counts["checks"] > 20
    assert sum(n for what, n in report.counts.items() if what.startswith("told ")) > 0
