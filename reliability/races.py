"""``races``: one secret, sent 64 times at once over four workers, wins once (goal R2)."""

import asyncio
import contextlib
import email
import email.policy
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks import load
from benchmarks.installation import PASSWORD, TOY, Person, create
from benchmarks.load import Reply
from reliability.client import Address, Client, connect, ip_of, members
from reliability.report import Report
from reliability.servers import LoginServer, database_of, workplace
from reliability.visitors import code_of, step_now
from twinlock.db.engine import Database
from twinlock.factors.totp import otpauth
from twinlock.sessions.tables import session

RACERS = 64
WORKERS = 4
SETTINGS = {
    "TWINLOCK_WORKERS": str(WORKERS),
    "TWINLOCK_TRUSTED_PROXIES": "127.0.0.0/8",
    "TWINLOCK_HASH_WAITING_PER_THREAD": "1000",
    "TWINLOCK_PAGES_ENABLED": "false",
    "TWINLOCK_RECOVERY_REQUESTS_NETWORK_1H": "1000",
}
_LINK = re.compile(r"https?://\S+/(\S+)")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried.

    Attributes:
        rounds: Races of each kind, at most.
        minutes: How long, at most.
        racers: Requests of one race.
        workers: Processes of each server.
        at_once: Installations that race side by side: on a busy machine one mostly waits.
    """

    rounds: int = 1000
    minutes: float = 600
    racers: int = RACERS
    workers: int = WORKERS
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Track:
    """Where races are run."""

    address: Address
    database: Database
    report: Report
    racers: int
    mails: Path

    def client(self, person: Person) -> Client:
        return Client(self.address, ip_of(int(person.username.removeprefix("person"))))

    def sessions(self, person: Person) -> int:
        """Return how many living sessions the store holds of somebody."""
        statement = (
            select(func.count())
            .select_from(session)
            .where(session.c.subject_id == person.subject, session.c.ended_at.is_(None))
        )
        return self.database.reading(lambda db: db.execute(statement).scalar_one())

    async def fire(self, requests: Sequence[bytes]) -> list[Reply]:
        """Send all requests in one turn of the loop, on connections that are open."""
        connections = await asyncio.gather(*(connect(self.address) for _ in requests))
        try:
            racing = [
                connection.request(request)
                for connection, request in zip(connections, requests, strict=True)
            ]
            return await asyncio.wait_for(asyncio.gather(*racing), 120)
        finally:
            for connection in connections:
                connection.close()

    def judge(self, what: str, replies: Sequence[Reply], *, won: int, losers: set[int]) -> Reply:
        """Expect one winner and decent losers; return the winner's answer."""
        winners = [reply for reply in replies if reply.status == won]
        self.report.count(f"{what}: races")
        self.report.count(f"{what}: requests", len(replies))
        others = "" if winners else f"; one of the losers was told {replies[0].body[:200]!r}"
        self.report.expect(len(winners) == 1, f"{what}: {len(winners)} winners{others}")
        for reply in replies:
            if reply.status != won and reply.status not in losers:
                self.report.surprises[f"{what} answered {reply.status}: {reply.body[:80]!r}"] += 1
        return winners[0] if winners else replies[0]


Race = Callable[[Track, Person], Awaitable[None]]


async def code(track: Track, person: Person) -> None:
    """One TOTP code, at both doors."""
    client = track.client(person)
    handles = await _begun(client, person, 10)
    answer = code_of(person, step_now())
    form = {"grant_type": "password", "username": person.username, "password": PASSWORD + answer}
    replies = await track.fire(_both_doors(track, "totp", handles, answer, form))
    track.judge("TOTP code", replies, won=200, losers={400, 401, 429})
    track.report.expect(track.sessions(person) == 1, "TOTP code: more than one session")


async def recovery_code(track: Track, person: Person) -> None:
    """One recovery code, at both doors."""
    handles = await _begun(track.client(person), person, 10)
    answer = person.recovery_codes[0]
    form = {
        "grant_type": "password",
        "username": person.username,
        "password": PASSWORD,
        "otp": answer,
    }
    replies = await track.fire(_both_doors(track, "recovery_codes", handles, answer, form))
    track.judge("recovery code", replies, won=200, losers={400, 401, 429})
    track.report.expect(track.sessions(person) == 1, "recovery code: more than one session")


async def pending_login(track: Track, person: Person) -> None:
    """One pending login, and eleven right answers to it."""
    (handle,) = await _begun(track.client(person), person, 1)
    answers = [("totp", code_of(person, step_now()))]
    answers += [("recovery_codes", one) for one in person.recovery_codes]
    requests = [
        load.post_json(f"/api/login/{method}", {"login": handle, "answer": answer})
        for method, answer in (answers[n % len(answers)] for n in range(track.racers))
    ]
    replies = await track.fire(requests)
    track.judge("pending login", replies, won=200, losers={401, 429})
    track.report.expect(track.sessions(person) == 1, "pending login: more than one session")


async def enrollment(track: Track, person: Person) -> None:
    """One enrollment, confirmed by all."""
    tokens = members(await _sign_in(track, person, password=PASSWORD))
    token = tokens["access_token"]
    begun = members(await track.client(person).post("/api/factors/totp", {}, token=token))
    parsed = otpauth.parse_uri(begun["options"]["uri"])
    if not isinstance(parsed, otpauth.Parsed):
        raise TypeError("no otpauth URI")
    person.key = parsed.key
    body = {
        "enrollment": begun["enrollment"],
        "answer": code_of(person, step_now()),
        "label": "phone",
    }
    request = load.post_json("/api/factors/totp/confirm", body, token=token)
    replies = await track.fire([request] * track.racers)
    won = track.judge("enrollment", replies, won=201, losers={400, 401, 403, 404, 409, 410, 429})
    me = await track.client(person).get("/users/me", token=members(won).get("access_token"))
    track.report.expect(me.status == 200, "enrollment: the winner's token opens nothing")
    track.report.expect(track.sessions(person) == 1, "enrollment: not one session")


async def refresh_token(track: Track, person: Person) -> None:
    """One refresh token within the grace: everybody gets the same child."""
    token = await _refresh_token(track, person)
    replies = await track.fire([_refresh(token)] * track.racers)
    children = {members(reply).get("refresh_token") for reply in replies if reply.status == 200}
    track.report.count("refresh token: races")
    track.report.count("refresh token: requests", len(replies))
    track.report.expect(len(children) == 1, f"refresh token: {len(children)} children")
    track.report.expect(_counter(track, person) == 1, "refresh token: it rotated more than once")
    for reply in replies:
        if reply.status != 200:
            track.report.surprises[f"refresh token answered {reply.status}"] += 1


async def refresh_token_without_grace(track: Track, person: Person) -> None:
    """One refresh token without a grace: one child, and the family ends with the second use."""
    token = await _refresh_token(track, person)
    replies = await track.fire([_refresh(token)] * track.racers)
    won = track.judge("refresh token, no grace", replies, won=200, losers={400})
    access = members(won).get("access_token")
    me = await track.client(person).get("/users/me", token=access)
    track.report.expect(me.status == 401, "refresh token, no grace: the family lives on")
    track.report.expect(track.sessions(person) == 0, "refresh token, no grace: a session lives")


async def reset_link(track: Track, person: Person) -> None:
    """One reset link, and a new password from each who has it."""
    asked = await track.client(person).post("/api/recovery/password", {"username": person.username})
    if asked.status != 202:
        track.report.surprises[f"asking for a link answered {asked.status}"] += 1
        return
    link = await _mailed(track, person)
    requests = [
        load.post_json(
            "/api/recovery/password/confirm",
            {"token": link, "password": f"another horse and battery {n}"},
        )
        for n in range(track.racers)
    ]
    replies = await track.fire(requests)
    track.judge("reset link", replies, won=200, losers={400, 401, 403, 404, 409, 410, 422, 429})
    working = [
        n
        for n, reply in enumerate(replies)
        if reply.status == 200
        and (await _password_step(track, person, f"another horse and battery {n}")) == 200
    ]
    track.report.expect(len(working) == 1, "reset link: the winner's password does not work")


RACES: dict[str, Race] = {
    "code": code,
    "recovery_code": recovery_code,
    "pending_login": pending_login,
    "enrollment": enrollment,
    "refresh_token": refresh_token,
    "reset_link": reset_link,
}


async def run(kind: str, effort: Effort, only: str = "") -> Report:
    """Run every race, again and again, on several installations side by side."""
    report = Report(f"Races, {kind}: {effort.racers} at once over {effort.workers} workers")
    races = {only: RACES[only]} if only else RACES
    shares = [effort.rounds // effort.at_once] * effort.at_once
    shares[0] += effort.rounds % effort.at_once
    with contextlib.ExitStack() as running:
        grounds = [
            running.enter_context(_ground(kind, rounds, effort, report))
            for rounds in shares
            if rounds
        ]
        stop = time.monotonic() + effort.minutes * 60
        running_for = effort.minutes * 6 / 7  # what is left is for the race without a grace
        for ground in grounds:
            running.enter_context(ground.server.running())
        part = time.monotonic() + running_for * 60
        await asyncio.gather(*(ground.run(races, until=part) for ground in grounds))
        for ground in grounds:
            ground.server.stop()
            ground.server.environment["TWINLOCK_REFRESH_GRACE"] = "0"
            running.enter_context(ground.server.running())
        no_grace = {"no_grace": refresh_token_without_grace}
        await asyncio.gather(*(ground.run(no_grace, until=stop) for ground in grounds))
    races_run = {what: n for what, n in report.counts.items() if what.endswith(": races")}
    fewest, most = min(races_run.values(), default=0), max(races_run.values(), default=0)
    rounds_run = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    report.tried = (
        f"{rounds_run} races of {effort.racers} requests for each of {len(races_run)} secrets, "
        f"{effort.workers} workers"
    )
    return report


@dataclass(frozen=True, slots=True)
class Ground:
    """One installation with its server, and people for so many rounds."""

    folder: Path
    server: LoginServer
    database: Database
    report: Report
    racers: int
    rounds: int
    enrolled: Iterator[Person]
    bare: Iterator[Person]

    async def run(self, races: Mapping[str, Race], *, until: float) -> None:
        """Run some races, each with people of its own."""
        mails = self.folder / "data" / "mail"
        track = Track(self.server.address, self.database, self.report, self.racers, mails)
        for number in range(self.rounds):
            for race in races.values():
                if time.monotonic() > until:
                    return
                await race(track, next(self.bare if race is enrollment else self.enrolled))
            if number % 10 == 9:
                self.report.progress()


@contextlib.contextmanager
def _ground(kind: str, rounds: int, effort: Effort, report: Report) -> Iterator[Ground]:
    with workplace("races") as folder, database_of(kind, folder) as (url, _):
        installation = create(
            folder / "data", accounts=rounds * 7, bare=rounds, profile=TOY, database_url=url
        )
        workers = {"TWINLOCK_WORKERS": str(effort.workers)}
        server = LoginServer(folder, {**installation.environment, **SETTINGS, **workers})
        people = installation.people.all
        with contextlib.closing(Database(url, pool_size=1)) as database:
            yield Ground(
                folder, server, database, report, effort.racers, rounds,
                iter(people[:-rounds]), iter(people[-rounds:]),
            )  # fmt: skip


def _both_doors(
    track: Track, method: str, handles: list[str], answer: str, form: dict[str, str]
) -> list[bytes]:
    requests = [
        load.post_json(f"/api/login/{method}", {"login": handle, "answer": answer})
        for handle in handles
    ]
    for number in range(track.racers - len(requests)):
        # Each from a network of its own: wrong passwords are not what is raced here.
        headers = {"X-Forwarded-For": f"203.0.{number // 250}.{number % 250 + 1}"}
        requests.append(load.post_form("/token", form, headers=headers))
    return requests


async def _begun(client: Client, person: Person, count: int) -> list[str]:
    handles = []
    for _ in range(count):
        body = {"username": person.username, "password": PASSWORD}
        handles.append(members(await client.post("/api/login", body))["login"])
    return handles


async def _sign_in(track: Track, person: Person, *, password: str) -> Reply:
    return await track.client(person).form(
        "/token", grant_type="password", username=person.username, password=password
    )


async def _refresh_token(track: Track, person: Person) -> str:
    reply = await _sign_in(track, person, password=PASSWORD + code_of(person, step_now()))
    token: str = members(reply)["refresh_token"]
    return token


def _refresh(token: str) -> bytes:
    return load.post_form("/token", {"grant_type": "refresh_token", "refresh_token": token})


def _counter(track: Track, person: Person) -> int:
    statement = select(session.c.refresh_counter).where(session.c.subject_id == person.subject)
    counter: int = track.database.reading(lambda db: db.execute(statement).scalar_one())
    return counter


async def _password_step(track: Track, person: Person, password: str) -> int:
    body = {"username": person.username, "password": password}
    return (await track.client(person).post("/api/login", body)).status


async def _mailed(track: Track, person: Person) -> str:
    """Wait for the mail with the link, and return its token."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for path in track.mails.glob("*.eml"):
            token = _link_in(path.read_bytes(), f"{person.username}@example.com")
            path.unlink()  # nobody else waits for one, and thousands are not read again
            if token is not None:
                return token
        await asyncio.sleep(0.05)
    raise RuntimeError(f"no mail came for {person.username}")


def _link_in(mail: bytes, to: str) -> str | None:
    message: Any = email.message_from_bytes(mail, policy=email.policy.default)
    if to not in str(message["To"]):
        return None
    found = _LINK.search(message.get_body(("plain",)).get_content())
    return found[1] if found else None
