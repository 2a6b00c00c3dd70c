"""Workers that die are replaced, by a server in processes of its own."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_serve import serving

SOON = 30.0
"""Half of how long a silent worker is waited for; a busy machine starts one in a few seconds."""
POLLING = {"7", "73", "271"}
"""The numbers of poll(2) and ppoll(2) on Linux, in which an answer is waited for."""


def workers_of(supervisor: int) -> set[int]:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return {pid for pid in map(int, children) if is_worker(pid)}


def is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_until_it_asks(supervisor: int) -> None:
    """Wait until it waits for the answer of a worker."""
    while Path(f"/proc/{supervisor}/syscall").read_text().split()[0] not in POLLING:
        pass


@pytest.mark.skipif(not Path("/proc/self/syscall").exists(), reason="looks at Linux processes")
def test_a_worker_that_dies_while_it_is_asked_is_replaced_at_once(sqlite_cli: Cli) -> None:
    """It is not told apart from a silent one otherwise, which is waited for a minute."""
    sqlite_cli.done("init")

    with serving(sqlite_cli, TWINLOCK_WORKERS="2") as server:
        before = workers_of(server.process.pid)
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        wait_until_it_asks(server.process.pid)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        status, _ = server.get("/readyz")
        took = time.monotonic() - begun
        after = workers_of(server.process.pid)
        server.stop()  # and its workers with it

    assert len(before) == 2
    assert after
    assert not before & after
    assert (status, took < SOON) == (200, True)
