"""``faults``: break what servers stand on, for real, and look how they answer (goal R3)."""

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.installation import PASSWORD, TOY, Person, create
from benchmarks.load import Reply
from reliability.book import Book
from reliability.client import Client, UnansweredError, ip_of, members
from reliability.crowd import Crowd
from reliability.report import Report
from reliability.servers import LoginServer, database_of
from reliability.visitors import code_of, step_now
from tests.support.postgres import PostgresServer

SETTINGS = {
    "TWINLOCK_WORKERS": "2",
    "TWINLOCK_TRUSTED_PROXIES": "127.0.0.0/8",
    "TWINLOCK_REFRESH_GRACE": "60",
    "TWINLOCK_HASH_WAITING_PER_THREAD": "1000",
    "TWINLOCK_PAGES_ENABLED": "false",
    "TWINLOCK_DOCS_ENABLED": "false",
}
BELIEVED_SECONDS = 5.0
"""How long memory answers for a silent database."""
SLOWEST_SECONDS = 7.5
"""Five for the database, one for the thread, the rest for a busy machine."""
RECOVERED_SECONDS = 5.0
CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """What a fault can be done to."""

    folder: Path
    url: str
    database: PostgresServer | None
    server: LoginServer


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks.

    Attributes:
        inject: Breaks it for as long as the block lasts.
        databases: On which databases there is such a thing.
        expected: By probe, the statuses that are right once memory is not believed any more.
    """

    name: str
    inject: Callable[[Stage], AbstractContextManager[None]]
    databases: tuple[str, ...]
    expected: Mapping[str, frozenset[int]]


def _expected(**probes: set[int]) -> dict[str, frozenset[int]]:
    return {name: frozenset(statuses) for name, statuses in probes.items()}


NOTHING = _expected(alive={200}, ready={503}, guarded={503}, sign_in={503}, refresh={503})
READS = _expected(alive={200}, ready={200}, guarded={200}, sign_in={503}, refresh={503})
SOME = _expected(
    alive={200}, ready={200, 503}, guarded={200, 503}, sign_in={200, 503}, refresh={200, 503}
)


@contextlib.contextmanager
def stopped(stage: Stage) -> Iterator[None]:
    """Stop PostgreSQL at once, as a crash would."""
    database = _required(stage)
    database.halt()
    try:
        yield
    finally:
        database.resume()


@contextlib.contextmanager
def silent(stage: Stage) -> Iterator[None]:
    """Freeze every process of PostgreSQL: connections stand, and nobody answers."""
    pids = _required(stage).pids()
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


@contextlib.contextmanager
def read_only(stage: Stage) -> Iterator[None]:
    """Let PostgreSQL refuse writes, as on a replica or after an operator's order."""
    database = _required(stage)
    _alter(database, "alter system set default_transaction_read_only = on")
    try:
        yield
    finally:
        _alter(database, "alter system reset default_transaction_read_only")


@contextlib.contextmanager
def restarted(stage: Stage) -> Iterator[None]:
    """Stop PostgreSQL at once and start it again; then nothing is broken any more."""
    database = _required(stage)
    database.halt()
    database.resume()
    yield


@contextlib.contextmanager
def writer_stuck(stage: Stage) -> Iterator[None]:
    """Hold the writers' queue from another process's place."""
    path = stage.url.removeprefix("sqlite:///") + "-writer"
    with Path(path).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def file_locked(stage: Stage) -> Iterator[None]:
    """Hold SQLite's own write lock, as a tool does that somebody forgot."""
    import sqlite3

    other = sqlite3.connect(stage.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


@contextlib.contextmanager
def disk_full(stage: Stage) -> Iterator[None]:
    """Fill the small file system that the database lies on, to the last byte."""
    filler = _disk(stage) / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT)
    for size in (65_536, 512):
        with contextlib.suppress(OSError):
            while True:
                os.write(file, b"\0" * size)
    os.close(file)
    try:
        yield
    finally:
        filler.unlink()
        if stage.database is not None and not stage.database.answers():
            # It stopped for want of room, and does not start by itself: its operator does that.
            stage.database.halt()
            stage.database.resume()


@contextlib.contextmanager
def file_limit(stage: Stage) -> Iterator[None]:
    """Let the kernel refuse every growth of a file to the workers (RLIMIT_FSIZE), as a quota."""
    for pid in stage.server.workers():
        subprocess.run(["prlimit", f"--pid={pid}", "--fsize=0:"], check=True)
    try:
        yield
    finally:
        for pid in stage.server.workers():
            subprocess.run(["prlimit", f"--pid={pid}", "--fsize=unlimited:"], check=True)


FAULTS = (
    Fault("database stopped", stopped, ("postgres",), NOTHING),
    Fault("database restarted", restarted, ("postgres",), SOME),
    Fault("database silent", silent, ("postgres",), NOTHING),
    Fault("database read-only", read_only, ("postgres",), READS),
    Fault("writers' queue stuck", writer_stuck, ("sqlite",), READS),
    Fault("file locked by another program", file_locked, ("sqlite",), READS),
    Fault("file may not grow", file_limit, ("sqlite",), READS),
    Fault("disk full", disk_full, ("sqlite", "postgres"), SOME),
)


async def run(kind: str, *, only: str = "", seconds: float = 8.0, seed: int = 1) -> Report:
    """Inject every fault that there is on a database, one after the other."""
    report = Report(f"Faults, {kind}")
    with tempfile.TemporaryDirectory(prefix="twinlock-faults-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with small_disk(folder, wanted=not only) as disk, database_of(kind, disk) as (url, pg):
            installation = create(
                folder / "data", accounts=400, bare=0, profile=TOY, database_url=url
            )
            server = LoginServer(folder, {**installation.environment, **SETTINGS})
            book = Book(url, report, random.Random(seed))
            stage = Stage(folder, url, pg, server)
            *people, prober = installation.people.all
            crowd = Crowd(people, server.address, report, random.Random(seed))
            try:
                with server.running():
                    probes = Probes(Client(server.address, ip_of(65_000)), prober, report)
                    for fault in FAULTS:
                        if kind in fault.databases and only in fault.name:
                            if fault.inject is disk_full and not os.path.ismount(disk):
                                report.count("not tried: disk full, for no file system was made")
                                continue
                            await _try(fault, stage, probes, crowd, book, report, seconds)
            finally:
                book.close()
    return report


async def _try(
    fault: Fault,
    stage: Stage,
    probes: "Probes",
    crowd: Crowd,
    book: Book,
    report: Report,
    seconds: float,
) -> None:
    await probes.prepare()
    crowd.start(CLIENTS)
    await asyncio.sleep(0.5)
    with fault.inject(stage):
        await asyncio.sleep(BELIEVED_SECONDS + 1.5)
        until = time.monotonic() + seconds - BELIEVED_SECONDS
        while True:
            found = await probes.all()
            for name, (status, took) in found.items():
                report.expect(
                    status in fault.expected[name],
                    f"{fault.name}: {name} answered {status}",
                )
                report.expect(
                    took < SLOWEST_SECONDS, f"{fault.name}: {name} took {took:.1f} s ({status})"
                )
            if time.monotonic() > until:
                break
        report.lines.append(
            f"{fault.name}: " + ", ".join(f"{name} {status}" for name, (status, _) in found.items())
        )
    begun = time.monotonic()
    while {status for status, _ in (await probes.all()).values()} != {200}:
        if time.monotonic() - begun > 60:
            report.broken.append(f"{fault.name}: no recovery within a minute")
            break
        await asyncio.sleep(0.1)
    took = time.monotonic() - begun
    report.lines.append(f"{fault.name}: well again after {took:.1f} s")
    report.expect(took <= RECOVERED_SECONDS, f"{fault.name}: well again after {took:.1f} s")
    await crowd.stop()
    await book.check(crowd.take_touched())


class Probes:
    """The same five requests, again and again, by somebody with recovery codes enough."""

    def __init__(self, client: Client, person: Person, report: Report) -> None:
        self._client = client
        self._person = person
        self._report = report
        self._tokens: dict[str, str] = {}

    async def prepare(self) -> None:
        """Sign in while everything is well."""
        while step_now() <= self._person.last_step:
            await asyncio.sleep(0.2)
        self._person.last_step = step_now()
        password = PASSWORD + code_of(self._person, step_now())
        reply = await self._client.form(
            "/token", grant_type="password", username=self._person.username, password=password
        )
        self._tokens = members(reply)

    async def all(self) -> dict[str, tuple[int, float]]:
        """Return status and seconds of each probe; 0 where nothing was answered."""
        token = self._tokens["access_token"]
        parent = self._tokens["refresh_token"]
        # The password step alone: a whole sign-in would need a code for each try.
        sign_in = {"username": self._person.username, "password": PASSWORD}
        asked = {
            "alive": self._client.get("/healthz"),
            "ready": self._client.get("/readyz"),
            "guarded": self._client.get("/users/me", token=token),
            "sign_in": self._client.post("/api/login", sign_in),
            "refresh": self._client.form(
                "/token", grant_type="refresh_token", refresh_token=parent
            ),
        }
        found = await asyncio.gather(*(_timed(one) for one in asked.values()))
        for name, (reply, _) in zip(asked, found, strict=True):
            if name == "refresh" and reply is not None and reply.status == 200:
                self._tokens = {**self._tokens, **members(reply)}
        return {
            name: (reply.status if reply else 0, took)
            for name, (reply, took) in zip(asked, found, strict=True)
        }


async def _timed(asking: "asyncio.Future[Reply] | object") -> tuple[Reply | None, float]:
    begun = time.monotonic()
    try:
        reply: Reply | None = await asking  # type: ignore[misc]
    except UnansweredError:
        reply = None
    return reply, time.monotonic() - begun


@contextlib.contextmanager
def small_disk(folder: Path, *, wanted: bool) -> Iterator[Path]:
    """Give a file system of its own, where this user may mount one, else just the folder."""
    disk = folder / "disk"
    disk.mkdir(mode=0o755)
    command = ["mount", "-t", "tmpfs", "-o", "size=192m,mode=755", "twinlock-faults", str(disk)]
    mounted = wanted and os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0
    try:
        yield disk
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=False)


def _disk(stage: Stage) -> Path:
    return stage.folder / "disk"


def _required(stage: Stage) -> PostgresServer:
    if stage.database is None:
        raise LookupError("there is no PostgreSQL here")
    return stage.database


def _alter(database: PostgresServer, statement: str) -> None:
    with psycopg.connect(database.address, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute(statement.encode())
        connection.execute("select pg_reload_conf()")


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
