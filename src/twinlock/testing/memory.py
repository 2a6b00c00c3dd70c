"""A folder that is kept in memory, so that no test waits for a disk."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - only a folder of our own below it is used
_ENOUGH: Final = 16 * 1024 * 1024
"""Bytes that must be free: a container may have few, and a test needs less than one million."""


@contextmanager
def folder_in_memory(*, otherwise: Path, memory: Path = _SHARED_MEMORY) -> Iterator[Path]:
    """Make a folder of this process alone below *memory*, and remove it at the end.

    It holds an ordinary database with its files, so that everything works as it does in
    production; only waiting for a disk is left out.

    Args:
        otherwise: The folder to make where *memory* is not there or nearly full.
        memory: A folder that the system keeps in memory.
    """
    made = _make(memory)
    if made is None:
        otherwise.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield otherwise
        return
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _make(memory: Path) -> Path | None:
    try:
        if shutil.disk_usage(memory).free < _ENOUGH:
            return None
        return Path(tempfile.mkdtemp(prefix="twinlock-test-", dir=memory))
    except OSError:
        return None
