"""The real thing: `twinlock serve` in processes of its own, to be killed in the middle."""

import contextlib
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.processes import ROOT, free_port
from reliability.client import Address
from tests.support.postgres import DURABLE, PostgresServer

SMALL = {"min_wal_size": "32MB", "max_wal_size": "64MB"}
START_SECONDS = 600.0
"""Long, for machines on which much else goes on."""
END_SECONDS = 30.0
LEAST_MEMORY_BYTES = 4 * 2**30


@contextlib.contextmanager
def workplace(name: str) -> Iterator[Path]:
    """Give a folder that other users may look into, in memory where there is room.

    Who is killed here is a process, and what it wrote is the kernel's; a disk would only be waited
    for, most of the time of a run.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > LEAST_MEMORY_BYTES
    place = str(memory) if has_room else None
    with tempfile.TemporaryDirectory(prefix=f"twinlock-{name}-", dir=place) as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


class LoginServer:
    """One login server, with its workers in a process group of its own."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        name: str = "server",
        before: Sequence[str] = (),
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            folder: Where its log goes.
            environment: Its settings.
            host: Where it listens.
            port: A free one where none is given.
            name: What its log is called.
            before: A command that runs it, such as ``ip netns exec …``.
        """
        self.address = Address(host, port or free_port())
        self.log = folder / f"{name}.log"
        self.environment = settings_only(environment) | {
            "TWINLOCK_HOST": host,
            "TWINLOCK_PORT": str(self.address.port),
        }
        self._before = tuple(before)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers later."""
        command = [*self._before, sys.executable, "-m", "twinlock", "serve"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_until_ready(self, host: str = "localhost") -> None:
        """Wait until ``/readyz`` says so.

        Raises:
            RuntimeError: It does not, or it ended.
        """
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                break
            if self.readiness(host) == 200:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.log.name}:\n{self.log.read_text()[-4000:]}")

    def readiness(self, host: str = "localhost") -> int:
        """Return the status of ``/readyz``, or 0 where nobody answers."""
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=10)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/readyz", headers={"Host": host})
            return connection.getresponse().status
        return 0

    def kill(self) -> None:
        """End it and all its workers between two instructions."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def kill_workers(self, chance: random.Random, *, most: int) -> None:
        """End some of its workers at one moment; the supervisor starts others."""
        workers = self.workers()
        for pid in chance.sample(workers, min(most, len(workers))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if _is_worker(int(child))]

    def stop(self) -> None:
        """Tell it to stop, and wait; kill it where it does not."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
        self.kill()

    @contextlib.contextmanager
    def running(self) -> Iterator["LoginServer"]:
        """Serve until the block ends."""
        try:
            self.start()
            self.wait_until_ready()
            yield self
        finally:
            self.stop()


def _is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def settings_only(environment: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with no other settings than these."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TWINLOCK_")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)  # started hundreds of times, compiled once
    return own | dict(environment)


def twinlock(
    environment: Mapping[str, str], *arguments: str, seconds: float = 120
) -> "subprocess.CompletedProcess[str]":
    """Run a command of ours and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "twinlock", *arguments],
        cwd=ROOT,
        env=settings_only(environment),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@contextlib.contextmanager
def database_of(kind: str, folder: Path) -> Iterator[tuple[str, PostgresServer | None]]:
    """Give the URL of an empty database, and its server where there is one."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'twinlock.sqlite3'}", None
        return
    server = PostgresServer(options={**DURABLE, **SMALL}, place=folder)
    try:
        server.start()
        yield server.url(server.create_database()), server
    finally:
        server.stop()
