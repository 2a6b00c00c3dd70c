"""``crash``: kill servers in the middle of everything, and look what is left (goal R1)."""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.installation import TOY, Installation, create
from benchmarks.processes import ROOT
from reliability.book import Book, check_sqlite_file
from reliability.crowd import Crowd
from reliability.report import Report
from reliability.servers import LoginServer, database_of, settings_only, twinlock, workplace
from tests.support.postgres import PostgresServer

WORKERS = 2
CLIENTS = 12
SETTINGS = {
    "TWINLOCK_WORKERS": str(WORKERS),
    "TWINLOCK_TRUSTED_PROXIES": "127.0.0.0/8",
    "TWINLOCK_REFRESH_GRACE": "60",
    "TWINLOCK_HASH_WAITING_PER_THREAD": "1000",
    "TWINLOCK_PAGES_ENABLED": "false",  # sooner up again
    "TWINLOCK_DOCS_ENABLED": "false",
}


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried.

    Attributes:
        kills: How often something is killed, at most.
        minutes: How long, at most.
        accounts: People with a second factor.
        bare: People without one, who enroll.
        looks_back: Whether the whole installation is looked at with its own tools at the end.
    """

    kills: int = 200
    minutes: float = 600
    accounts: int = 600
    bare: int = 400
    looks_back: bool = True


async def run(kind: str, effort: Effort, *, seed: int) -> Report:
    """Kill until enough was killed, and report."""
    report = Report(f"Crash, {kind}, seed {seed}")
    with workplace("crash") as folder, database_of(kind, folder) as (url, database):
        installation = create(
            folder / "data",
            accounts=effort.accounts + effort.bare,
            bare=effort.bare,
            profile=TOY,
            database_url=url,
        )
        environment = {**installation.environment, **SETTINGS}
        server = LoginServer(folder, environment)
        book = Book(url, report, random.Random(seed))
        rounds = Rounds(server, installation, book, report, database, seed=seed)
        try:
            await rounds.run(effort, url)
            report.tried = _tried(report)
            if effort.looks_back:
                finish(environment, report, rounds.kids)
        finally:
            server.stop()
            book.close()
    return report


def _tried(report: Report) -> str:
    """Say how much was killed, and how much was going on."""

    def total(beginning: str) -> int:
        return sum(n for what, n in report.counts.items() if what.startswith(beginning))

    whole = report.counts["killed: the server and all workers"]
    kills = total("killed: ") - total("killed: key") - total("killed: secret")
    database = report.counts["database killed"]
    told = total("told ") - report.counts["told to come back (503)"]
    return (
        f"{kills} kills, {whole} of the whole server"
        + (f" and {database} of the database with it" if database else "")
        + f"; {told:,} changes told, {total('unanswered ')} unanswered and settled"
    )


class Rounds:
    """Serve, load, kill, check; again and again."""

    def __init__(
        self,
        server: LoginServer,
        installation: Installation,
        book: Book,
        report: Report,
        database: PostgresServer | None,
        *,
        seed: int,
    ) -> None:
        self._server = server
        self._environment = {**installation.environment, **SETTINGS}
        self._book = book
        self._report = report
        self._database = database
        self._chance = random.Random(seed)
        self._crowd = Crowd(installation.people.all, server.address, report, self._chance)
        self.kids: set[str] = set()
        """The signing keys that a rotation told of."""

    async def run(self, effort: Effort, url: str) -> None:
        until = time.monotonic() + effort.minutes * 60
        self._server.start()
        self._server.wait_until_ready()
        is_over = asyncio.Event()
        rotation = asyncio.create_task(self._rotate(is_over))
        for _ in range(effort.kills):
            if time.monotonic() > until:
                break
            # On PostgreSQL, one in ten kills the database as well.
            is_database = self._database is not None and self._chance.random() < 0.1
            # Never without the server: a worker that starts meanwhile would end it all.
            is_whole = is_database or self._chance.random() < 0.3
            await self._load_and_kill(is_whole=is_whole, is_database=is_database)
            if is_whole:
                if self._database is None:
                    check_sqlite_file(url, self._report)
                self._server.start()
            await asyncio.to_thread(self._server.wait_until_ready)
            await self._book.check(self._crowd.take_touched())
            self._report.progress()
        is_over.set()
        await rotation

    async def _load_and_kill(self, *, is_whole: bool, is_database: bool) -> None:
        self._crowd.start(CLIENTS)
        await asyncio.sleep(self._chance.uniform(0.3, 1.5))  # the kill comes at a random moment
        if is_database and self._database is not None:
            self._database.halt()
            self._report.count("database killed")
        if is_whole:
            self._server.kill()
            self._report.count("killed: the server and all workers")
        else:
            count = self._chance.randint(1, WORKERS)
            self._server.kill_workers(self._chance, most=count)
            self._report.count(f"killed: {count} of {WORKERS} workers")
        await self._crowd.stop()
        if is_database and self._database is not None:
            self._database.resume()

    async def _rotate(self, is_over: asyncio.Event) -> None:
        """Rotate signing keys, and now and then the master keys, killed as often as not."""
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), self._chance.uniform(5, 30))
                return
            await self._rotate_once("key" if self._chance.random() < 0.7 else "secret")

    async def _rotate_once(self, what: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "twinlock", what, "rotate", "--json",
            cwd=ROOT, env=settings_only(self._environment),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        killing = self._chance.uniform(1, 8) if self._chance.random() < 0.5 else 120.0
        try:
            told, _ = await asyncio.wait_for(process.communicate(), killing)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
            self._report.count(f"killed: {what} rotate")
            return
        if process.returncode == 0:
            self._report.count(f"told {what} rotated")
            if what == "key":
                self.kids.add(json.loads(told)["kid"])


def finish(environment: dict[str, str], report: Report, kids: set[str]) -> None:
    """Look at the whole installation once more, with its own tools."""
    listed = json.loads(twinlock(environment, "key", "list", "--json").stdout)["keys"]
    signing = [key["kid"] for key in listed if key["state"] == "signs"]
    report.expect(len(signing) == 1, f"{len(signing)} keys sign")
    lost = kids - {key["kid"] for key in listed}
    report.expect(not lost, f"signing keys that were told of are gone: {lost}")
    report.count("signing keys at the end", len(listed))
    rotated = twinlock(environment, "secret", "rotate", "--json", seconds=600)
    report.expect(rotated.returncode == 0, f"the rotation does not end: {rotated.stderr[-300:]}")
    report.expect(
        not json.loads(rotated.stdout or "{}").get("broken"), f"broken: {rotated.stdout[-300:]}"
    )
    for command in (("doctor",), ("audit", "verify")):
        done = twinlock(environment, *command, "--json", seconds=600)
        report.count(f"{' '.join(command)} at the end: exit {done.returncode}")
        if done.returncode:
            report.broken.append(f"{command}: {done.stdout[-1500:]} {done.stderr[-500:]}")
