"""The cores that hashing may use, in a container and outside of one."""

import os
import sys
from pathlib import Path

import pytest

from twinlock.config import cores
from twinlock.config.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux grants cores by quota")


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that grants cores to this container, on a machine of eight."""
    file = tmp_path / "cpu.max"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cores, "CPU_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    return file


@pytest.mark.parametrize(
    "text, granted",
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("1000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("", 8),
        ("100000 0\n", 8),
        ("nonsense\n", 8),
    ],
)
def test_a_container_hashes_on_the_cores_of_its_quota(quota: Path, text: str, granted: int) -> None:
    """Control group v2, cpu.max: the microseconds granted in each period."""
    quota.write_text(text, encoding="ascii")

    assert Settings().hash_threads == granted
    assert Settings(workers=2).hash_threads == max(1, granted // 2)


def test_without_a_quota_the_cores_are_the_machines(quota: Path) -> None:
    assert Settings().hash_threads == 8
