"""One fault of each database; `python -m reliability faults` injects them all."""

import asyncio

import pytest

from reliability import faults


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind, fault",
    [
        ("sqlite", "writers' queue stuck"),
        pytest.param("postgres", "database stopped", marks=pytest.mark.postgres),
    ],
)
def test_what_breaks_is_answered_as_documented_and_mends_itself(kind: str, fault: str) -> None:
    """Goal R3, in small: the table is docs/reference/faults.md."""
    report = asyncio.run(faults.run(kind, only=fault, seconds=5))

    assert report.broken == []
    assert not report.surprises
    assert report.counts["checks"] > 20
