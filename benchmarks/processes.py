"""A server as a process of its own, and what it costs the machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".bench"
"""Everything that a run leaves behind: the peers' environment, databases, logs."""

_START_SECONDS = 60
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def prepare_scratch() -> None:
    """Make the folder, which keeps itself out of commits."""
    SCRATCH.mkdir(exist_ok=True)
    (SCRATCH / ".gitignore").write_text("*\n")


class Server:
    """One uvicorn process with one worker, on a free port of the loopback."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.name = name
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time of the whole process so far, ended threads included."""
        return cpu_seconds(self.pid)

    def resident_mib(self) -> float:
        """Return the resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * _PAGE_BYTES / 2**20

    def reads(self) -> int:
        """Return how often it has read from a file or pipe."""
        told = Path(f"/proc/{self.pid}/io").read_text()
        return int(told.partition("syscr:")[2].split()[0])

    def forget_peak(self) -> None:
        """Have the peak of memory begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """Return the most memory that was resident at any moment since then."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process: in nanoseconds where the system tells so exactly."""
    if sys.platform == "linux":
        clock_of_process = (~pid << 3) | 2  # what clock_getcpuclockid(3) gives
        with contextlib.suppress(OSError):
            return time.clock_gettime(clock_of_process)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextlib.contextmanager
def serve(
    app: str,
    *,
    name: str | None = None,
    python: Path | str = sys.executable,
    environment: Mapping[str, str] | None = None,
    is_factory: bool = False,
) -> Iterator[Server]:
    """Serve the application at *app* (``module:name``) until the block ends."""
    port = free_port()
    log = SCRATCH / "logs" / f"{name or app.replace(':', '.')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--workers", "1"]
    command += ["--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "3600"]
    if is_factory:
        command.append("--factory")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TWINLOCK_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean | dict(environment or {}), stdout=output, stderr=output
        )
    server = Server(name or app, process, port)
    try:
        _wait_for(server, process, log)
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
            return
        time.sleep(0.02)  # between two tries to connect
    raise RuntimeError(f"{server.name} did not start:\n{log.read_text()[-4000:]}")
