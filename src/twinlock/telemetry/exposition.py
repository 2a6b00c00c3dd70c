"""The port on which Prometheus asks: metrics of all worker processes, and of the installation."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from twinlock.core.errors import TwinlockError
from twinlock.flows.parts import Parts
from twinlock.flows.signals import Signals, read_signals

Opening = Callable[[], Parts]

_SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_counts() -> Iterator[Path]:
    """Give this process and those that it starts a folder to count in, until the end.

    prometheus_client looks for it at its first import: so before that.
    """
    folder = Path(tempfile.mkdtemp(prefix="twinlock-metrics-"))
    os.environ[_SHARED_FOLDER] = str(folder)
    try:
        yield folder
    finally:
        del os.environ[_SHARED_FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def exposed(host: str, port: int, *, folder: Path, parts: Opening, version: str) -> Iterator[None]:
    """Answer ``GET /metrics`` on a port of its own, on a thread.

    Args:
        parts: Returns the installation, or raises a `TwinlockError` while there is none to open.

    Raises:
        OSError: The port cannot be listened on.
    """
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    registry.register(_Living(folder, MultiProcessCollector(None, str(folder)).collect))
    registry.register(Installation(parts, version))
    server, thread = start_http_server(port, host, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Living:
    """What the workers counted; of a worker that is gone, what was true of it only is left out."""

    def __init__(self, folder: Path, collect: Callable[[], Iterable[Any]]) -> None:
        self._folder = folder
        self._collect = collect

    def collect(self) -> Iterable[Any]:
        for file in self._folder.glob("gauge_live*_*.db"):
            if not _is_running(int(file.stem.rsplit("_", 1)[1])):
                file.unlink(missing_ok=True)
        return self._collect()


class Installation:
    """What the database says at this moment."""

    def __init__(self, parts: Opening, version: str) -> None:
        self._parts = parts
        self._version = version

    def collect(self) -> Iterable[Any]:
        """Yield the metrics; where the database does not answer, that and nothing else."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        yield InfoMetricFamily("twinlock", "What runs here.", value={"version": self._version})
        try:
            signals = read_signals(self._parts())
        except TwinlockError:
            signals = None
        up = GaugeMetricFamily("twinlock_database_up", "Whether the database answers.")
        up.add_metric([], float(signals is not None))
        yield up
        if signals is not None:
            for name, text, value in _told(signals):
                gauge = GaugeMetricFamily(name, text)
                gauge.add_metric([], value)
                yield gauge


def _told(signals: Signals) -> Iterator[tuple[str, str, float]]:
    yield "twinlock_mails_waiting", "Mails not delivered yet.", signals.mails_waiting
    yield (
        "twinlock_mail_oldest_seconds",
        "How long the oldest of them has been waiting.",
        signals.mail_waits.total_seconds(),
    )
    if signals.signing_key_age is not None:
        yield (
            "twinlock_signing_key_age_seconds",
            "How long the key has been signing access tokens.",
            signals.signing_key_age.total_seconds(),
        )
    if signals.admins is not None:
        yield "twinlock_admins", "Enabled accounts with the role admin.", signals.admins
    yield "twinlock_master_keys", "Master keys that the installation knows.", signals.master_keys
    yield (
        "twinlock_master_key_rotation_unfinished",
        "Whether something may lie under an older master key.",
        signals.is_rotation_unfinished,
    )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
