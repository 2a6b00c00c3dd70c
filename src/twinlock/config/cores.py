"""How many cores this process may use: a container may grant fewer than the machine has."""

import os
import sys
from pathlib import Path
from typing import Final

CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""Linux' control groups, version 2: the microseconds granted, or ``max``, and the period."""


def available_cores() -> int:
    """Return how many cores this process may use, a container's quota rounded up included."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    try:
        granted, period = CPU_QUOTA.read_text(encoding="ascii").split()
        return max(1, min(cores, -(-int(granted) // int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return cores
