"""The queue of writers to an SQLite file moves, or says that it does not."""

import fcntl
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from twinlock.core.errors import DatabaseUnavailableError
from twinlock.db.writer_queue import WriterQueue

PATIENCE = 0.2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "database-writer"


@pytest.fixture
def other(path: Path) -> Iterator[int]:
    """The same file, as another process has it open."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    yield file
    os.close(file)


def test_a_stuck_writer_of_another_process_is_not_waited_for_for_ever(
    path: Path, other: int
) -> None:
    fcntl.flock(other, fcntl.LOCK_EX)

    with (
        closing(WriterQueue(path, patience=PATIENCE)) as queue,
        pytest.raises(DatabaseUnavailableError),
        queue,
    ):
        pass


def test_nobody_keeps_a_turn_that_came_too_late(path: Path, other: int) -> None:
    """Who gave up has a thread in `flock` still; what it gets must reach somebody else."""
    fcntl.flock(other, fcntl.LOCK_EX)
    with closing(WriterQueue(path, patience=PATIENCE)) as queue:
        with pytest.raises(DatabaseUnavailableError), queue:
            pass

        fcntl.flock(other, fcntl.LOCK_UN)
        fcntl.flock(other, fcntl.LOCK_EX)  # would block for ever
        fcntl.flock(other, fcntl.LOCK_UN)
        with queue, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_who_comes_while_others_have_given_up_gets_the_turn(path: Path, other: int) -> None:
    fcntl.flock(other, fcntl.LOCK_EX)
    with closing(WriterQueue(path, patience=PATIENCE)) as queue:
        with pytest.raises(DatabaseUnavailableError), queue:
            pass
        patient = WriterQueue(path, patience=30)
        patient._file, queue._file = queue._file, None
        entered = threading.Event()

        def write() -> None:
            with patient:
                entered.set()

        with ThreadPoolExecutor(1) as threads, closing(patient):
            done = threads.submit(write)
            fcntl.flock(other, fcntl.LOCK_UN)
            done.result(30)

        assert entered.is_set()


def test_one_at_a_time_over_threads_and_files(path: Path) -> None:
    """Two queues stand for two processes; each is used by several threads."""
    queues = [WriterQueue(path, patience=30) for _ in range(2)]
    inside: list[int] = []
    most = 0

    def write(number: int) -> None:
        nonlocal most
        for _ in range(50):
            with queues[number % 2]:
                inside.append(number)
                most = max(most, len(inside))
                inside.pop()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(6)))
    for queue in queues:
        queue.close()

    assert most == 1
