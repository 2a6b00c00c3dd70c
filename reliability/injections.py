"""How things are broken, for real, for as long as a block lasts (goal R3)."""

import contextlib
import fcntl
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from aiosmtpd.controller import Controller
from sqlalchemy import Connection, select, update

from benchmarks.installation import Person
from benchmarks.processes import free_port
from reliability.servers import LoginServer
from tests.support.postgres import PostgresServer
from twinlock.accounts.tables import subject
from twinlock.db.engine import Database
from twinlock.installation.key_file import create_key_file


@dataclass(frozen=True, slots=True)
class Stage:
    """What a fault can be done to.

    Attributes:
        victim: Whose row is damaged, and who asks for a mail.
        spare: People of whom nobody else knows.
    """

    folder: Path
    url: str
    database: PostgresServer | None
    server: LoginServer
    mail: "MailServer"
    victim: Person
    spare: list[Person]

    @property
    def key_file(self) -> Path:
        """Where the master keys are."""
        return self.folder / "data" / "secret.keys"


class MailServer:
    """A mail server that keeps what it gets.

    Attributes:
        received: To whom mails were sent.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[str] = []
        self._controller: Controller | None = None

    def start(self) -> None:
        """Take mails from now on."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        """Take none."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        """Take a mail (aiosmtpd's hook)."""
        self.received += envelope.rcpt_tos
        return "250 OK"


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
def workers_start_meanwhile(stage: Stage) -> Iterator[None]:
    """Stop PostgreSQL, and end every worker: those that take their places find no database."""
    database = _required(stage)
    database.halt()
    for pid in stage.server.workers():
        _signal(pid, signal.SIGKILL)
    try:
        yield
    finally:
        database.resume()


@contextlib.contextmanager
def server_starts_meanwhile(stage: Stage) -> Iterator[None]:
    """Stop PostgreSQL and the server, and start the server alone, as after a power cut."""
    database = _required(stage)
    database.halt()
    stage.server.kill()
    stage.server.start()
    try:
        yield
    finally:
        database.resume()


@contextlib.contextmanager
def mail_gone(stage: Stage) -> Iterator[None]:
    """Stop the mail server."""
    stage.mail.stop()
    try:
        yield
    finally:
        stage.mail.start()


@contextlib.contextmanager
def key_file_gone(stage: Stage) -> Iterator[None]:
    """Take the key file away."""
    kept = stage.key_file.with_name("kept")
    stage.key_file.rename(kept)
    try:
        yield
    finally:
        kept.rename(stage.key_file)


@contextlib.contextmanager
def key_file_changed(stage: Stage) -> Iterator[None]:
    """Put another installation's key into the place of ours."""
    with key_file_gone(stage):
        create_key_file(stage.key_file)
        try:
            yield
        finally:
            stage.key_file.unlink()


@contextlib.contextmanager
def row_damaged(stage: Stage) -> Iterator[None]:
    """Flip one bit of the seal of somebody's row."""
    with contextlib.closing(Database(stage.url, pool_size=1)) as database:
        whole = database.transaction(_flip, stage.victim.subject)
        try:
            yield
        finally:
            database.transaction(_put_back, stage.victim.subject, whole)


def _flip(tx: Connection, of: str) -> bytes:
    seal: bytes = tx.execute(select(subject.c.seal).where(subject.c.id == of)).scalar_one()
    _put_back(tx, of, bytes([seal[0], seal[1], seal[2] ^ 1]) + seal[3:])
    return seal


def _put_back(tx: Connection, of: str, seal: bytes) -> None:
    tx.execute(update(subject).where(subject.c.id == of).values(seal=seal))


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
