"""``faults``: break what servers stand on, for real, and look how they answer (goal R3)."""

import asyncio
import contextlib
import os
import random
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.installation import PASSWORD, TOY, Person, create
from benchmarks.load import Reply
from benchmarks.processes import free_port
from reliability import injections
from reliability.book import Book
from reliability.client import Client, UnansweredError, ip_of, members
from reliability.clocks import STEP_SECONDS, SetClock
from reliability.crowd import Crowd
from reliability.injections import MailServer, Stage
from reliability.report import Report
from reliability.servers import LoginServer, database_of, twinlock, workplace
from reliability.visitors import code_of, step_now

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
PROBE_SECONDS = 1.0
"""Between two looks: a try that was answered 503 may have been counted, and after ten in ten
minutes an account has to wait, whoever is to blame."""
RECOVERED_SECONDS = 5.0
MAIL_SECONDS = 90.0
MUST_SEE_SECONDS = 30.0
CLIENTS = 4


Act = Callable[[Stage, Report], Awaitable[None]]


async def nothing(stage: Stage, report: Report) -> None:
    """Do nothing more than what is done to every fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks.

    Attributes:
        inject: Breaks it for as long as the block lasts.
        databases: On which databases there is such a thing.
        expected: By probe, the statuses that are right once memory is not believed any more.
        beforehand: What is done before it breaks.
        meanwhile: What else is tried while it is broken.
        afterwards: What else is tried when it is mended.
        must_see: Statuses of a signed-in request that must have been among the answers.
        is_under_load: Whether a crowd signs in meanwhile; its codes go by this machine's clock.
    """

    name: str
    inject: Callable[[Stage], AbstractContextManager[None]]
    databases: tuple[str, ...]
    expected: Mapping[str, frozenset[int]]
    beforehand: Act = nothing
    meanwhile: Act = nothing
    afterwards: Act = nothing
    must_see: frozenset[int] = frozenset()
    is_under_load: bool = True


POSTGRES = ("postgres",)
SQLITE = ("sqlite",)
BOTH = ("sqlite", "postgres")


def _expected(**probes: set[int]) -> dict[str, frozenset[int]]:
    return {name: frozenset(statuses) for name, statuses in probes.items()}


NOTHING = _expected(alive={200}, ready={503}, guarded={503}, sign_in={503}, refresh={503})
READS = _expected(alive={200}, ready={503}, guarded={200}, sign_in={503}, refresh={503})
WELL = _expected(alive={200}, ready={200}, guarded={200}, sign_in={200}, refresh={200})
MOVED = _expected(alive={200}, ready={200}, guarded={200, 401}, sign_in={200}, refresh={200})
SOME = _expected(
    alive={200}, ready={200, 503}, guarded={200, 503}, sign_in={200, 503}, refresh={200, 503}
)


async def ask_for_mail(stage: Stage, report: Report) -> None:
    """Ask for a link while no mail can leave: nobody is told that it cannot."""
    asked = await _client(stage).post("/api/recovery/password", {"username": stage.victim.username})
    report.expect(asked.status == 202, f"asking for a mail answered {asked.status}")


async def expect_mail(stage: Stage, report: Report) -> None:
    """Wait for the mail, which the outbox kept: its second try comes after half a minute."""
    to = f"{stage.victim.username}@example.com"
    until = time.monotonic() + MAIL_SECONDS
    while to not in stage.mail.received and time.monotonic() < until:
        await asyncio.sleep(0.2)
    mails = stage.mail.received.count(to)
    report.expect(mails == 1, f"{mails} mails came after the mail server was back")


async def start_another(stage: Stage, report: Report) -> None:
    """Start one more server: without its keys it must not come up, and must say why."""
    environment = {**stage.server.environment, "TWINLOCK_PORT": str(free_port())}
    done = await asyncio.to_thread(twinlock, environment, "serve")
    report.expect(done.returncode == 1, f"a server without its keys ends with {done.returncode}")
    report.expect("key" in done.stderr, f"it says {done.stderr[-300:]!r}")


async def expect_denial(stage: Stage, report: Report) -> None:
    """Expect that whose row was changed cannot sign in, as with a wrong password."""
    status = (await _sign_in(stage)).status
    report.expect(status == 400, f"a damaged row's sign-in answered {status}")
    told = stage.server.log.read_text()
    report.expect("seal_broken" in told, "nothing in the log says that a seal broke")


async def expect_sign_in(stage: Stage, report: Report) -> None:
    """Expect that the mended row's owner can sign in."""
    status = (await _sign_in(stage)).status
    report.expect(status == 200, f"a mended row's sign-in answered {status}")


async def _sign_in(stage: Stage) -> Reply:
    while step_now() <= stage.victim.last_step:
        await asyncio.sleep(0.2)
    stage.victim.last_step = step_now()
    password = PASSWORD + code_of(stage.victim, step_now())
    return await _client(stage).form(
        "/token", grant_type="password", username=stage.victim.username, password=password
    )


def _client(stage: Stage) -> Client:
    return Client(stage.server.address, ip_of(65_001))


AHEAD = SetClock(steps=STEP_SECONDS // 30)
BACK = SetClock(steps=-STEP_SECONDS // 30)
FAULTS = (
    Fault("database stopped", injections.stopped, POSTGRES, NOTHING),
    Fault("database restarted", injections.restarted, POSTGRES, SOME),
    Fault("database silent", injections.silent, POSTGRES, NOTHING),
    Fault("database read-only", injections.read_only, POSTGRES, READS),
    Fault("workers start meanwhile", injections.workers_start_meanwhile, POSTGRES, NOTHING),
    Fault("server starts before it", injections.server_starts_meanwhile, POSTGRES, NOTHING),
    Fault("writers' queue stuck", injections.writer_stuck, SQLITE, READS),
    Fault("file locked by another program", injections.file_locked, SQLITE, READS),
    Fault("file may not grow", injections.file_limit, SQLITE, READS),
    Fault("disk full", injections.disk_full, BOTH, SOME),
    Fault(
        "mail server gone",
        injections.mail_gone,
        BOTH,
        WELL,
        meanwhile=ask_for_mail,
        afterwards=expect_mail,
    ),
    Fault("key file gone", injections.key_file_gone, BOTH, WELL, meanwhile=start_another),
    Fault("key file changed", injections.key_file_changed, BOTH, WELL, meanwhile=start_another),
    Fault(
        "row damaged",
        injections.row_damaged,
        BOTH,
        WELL,
        meanwhile=expect_denial,
        afterwards=expect_sign_in,
    ),
    *(
        Fault(
            name,
            clock.inject,
            BOTH,
            MOVED,
            beforehand=clock.beforehand,
            meanwhile=clock.meanwhile,
            afterwards=clock.afterwards,
            must_see=frozenset({200, 401}),
            is_under_load=False,
        )
        for name, clock in (("clock set ahead", AHEAD), ("clock set back", BACK))
    ),  # last: the server runs on under a clock that can be set
)


async def run(kind: str, *, only: str = "", seconds: float = 8.0, seed: int = 1) -> Report:
    """Inject every fault that there is on a database, one after the other."""
    report = Report(f"Faults, {kind}")
    tried: list[str] = []
    with (
        workplace("faults") as folder,
        small_disk(folder, wanted=only in "disk full") as disk,
        database_of(kind, disk) as (url, pg),
    ):
        installation = create(folder / "data", accounts=400, bare=0, profile=TOY, database_url=url)
        mail = MailServer()
        smtp = {"TWINLOCK_SMTP_URL": f"smtp://127.0.0.1:{mail.port}"}
        server = LoginServer(folder, {**installation.environment, **SETTINGS, **smtp})
        book = Book(url, report, random.Random(seed))
        *people, victim, prober, first, second = installation.people.all
        stage = Stage(folder, url, pg, server, mail, victim, [first, second])
        crowd = Crowd(people, server.address, report, random.Random(seed))
        mail.start()
        try:
            with server.running():
                probes = Probes(Client(server.address, ip_of(65_000)), prober, report)
                for fault in FAULTS:
                    if kind in fault.databases and only in fault.name:
                        if fault.inject is injections.disk_full and not os.path.ismount(disk):
                            report.count("not tried: disk full, for no file system was made")
                            continue
                        tried.append(fault.name)
                        await _try(fault, stage, probes, crowd, book, report, seconds)
        finally:
            book.close()
            mail.stop()
    report.tried = ", ".join(tried)
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
    crowd.start(CLIENTS if fault.is_under_load else 0)
    await asyncio.sleep(0.5)
    await fault.beforehand(stage, report)
    seen = set()
    with fault.inject(stage):
        while not await asyncio.to_thread(stage.server.readiness):
            await asyncio.sleep(0.1)  # where the server itself has just been started
        await asyncio.sleep(BELIEVED_SECONDS + 1.5)
        until = time.monotonic() + seconds - BELIEVED_SECONDS
        while True:
            found = await probes.all()
            seen.add(found["guarded"][0])
            for name, (status, took) in found.items():
                report.expect(
                    status in fault.expected[name],
                    f"{fault.name}: {name} answered {status}",
                )
                report.expect(
                    took < SLOWEST_SECONDS, f"{fault.name}: {name} took {took:.1f} s ({status})"
                )
            late = time.monotonic() - until
            if late > MUST_SEE_SECONDS or (late > 0 and fault.must_see <= seen):
                break
            await asyncio.sleep(PROBE_SECONDS)
        unseen = fault.must_see - seen
        report.expect(not unseen, f"{fault.name}: a signed-in request never answered {unseen}")
        await fault.meanwhile(stage, report)
        report.lines.append(
            f"{fault.name}: " + ", ".join(f"{name} {status}" for name, (status, _) in found.items())
        )
    begun = time.monotonic()
    while {status for status, _ in (await probes.all()).values()} != {200}:
        if time.monotonic() - begun > 60:
            report.broken.append(f"{fault.name}: no recovery within a minute")
            break
        await asyncio.sleep(PROBE_SECONDS)
    took = time.monotonic() - begun
    report.lines.append(f"{fault.name}: well again after {took:.1f} s")
    report.expect(took <= RECOVERED_SECONDS, f"{fault.name}: well again after {took:.1f} s")
    await fault.afterwards(stage, report)
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
