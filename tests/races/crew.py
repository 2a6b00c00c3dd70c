"""Several processes with one installation open, all of which fire at one moment.

The processes live as long as the tests; each opens the application on the installation of the test
that runs. What they fire are functions of this module, each with a `House` before its arguments.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from tests.support.house import OPERATOR, House
from twinlock.accounts.directory import Account
from twinlock.flows.account_making import NewAccount
from twinlock.flows.reminders import Reminders

PROCESSES = 2
MOST_RACERS = 16
WAIT_SECONDS = 60

# Forked from a clean process, not from this one with its connections, threads and locks.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["pytest", "psycopg", "tests.races.crew"])


@dataclass(frozen=True)
class Told:
    """What a request was answered with."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Shot:
    """One call to be made at the moment of all others."""

    act: Callable[..., object]
    args: tuple[object, ...] = ()
    named: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Enter:
    """Open the application on an installation that is there."""

    folder: Path
    database_url: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Fire:
    """Make these calls, each on a thread of its own, when *racers* are ready in all processes."""

    now: datetime
    shots: Sequence[Shot]
    racers: int


class Leave:
    """Close the application."""


def post(
    house: House,
    path: str,
    *,
    json: object = None,
    data: dict[str, str] | None = None,
    tokens: dict[str, Any] | None = None,
    method: str = "POST",
    cookie: str | None = None,
) -> Told:
    """Send a request."""
    headers = {"Authorization": f"Bearer {tokens['access_token']}"} if tokens else {}
    if cookie is not None:
        headers["Cookie"] = cookie
    client = house.client()
    response = client.request(method, path, json=json, data=data, headers=headers)
    return Told(response.status_code, response.json() if response.content else {})


def disable(house: House, account: Account) -> bool:
    """Disable an account as an operator does; tell whether that was done."""
    return isinstance(house.administration.disable(account, OPERATOR, now=house.now), Account)


def delete(house: House, account: Account) -> bool:
    """Delete an account as an operator does; tell whether that was done."""
    return isinstance(house.administration.delete(account, OPERATOR, now=house.now), Account)


def demote(house: House, account: Account) -> bool:
    """Take every role from an account; tell whether that was done."""
    done = house.administration.change(account, OPERATOR, roles=[], now=house.now)
    return isinstance(done, Account)


def reset_due(house: House) -> int:
    """Do the resets whose time has come; return how many that were."""
    return house.runtime.factor_resets.work(now=house.now)


def remind(house: House) -> int:
    """Write the reminders that are due; return how many accounts were looked at."""
    return Reminders(house.runtime.parts).work(now=house.now)


def emails_due(house: House) -> int:
    """Put other addresses in force whose time has come; return how many that were."""
    return house.runtime.staged_emails.work(now=house.now)


def create(house: House, username: str, email: str) -> bool:
    """Make an account; tell whether that was done."""
    new = NewAccount(username, email=email)
    return isinstance(house.administration.create(new, OPERATOR, now=house.now), Account)


class Crew:
    """The processes, each with a pipe to it."""

    def __init__(self) -> None:
        self._pipes: list[Connection[object, object]] = []
        self._processes: list[ForkServerProcess] = []
        # A barrier knows how many it waits for, and reaches a process only when that starts.
        self._barriers = {racers: context.Barrier(racers) for racers in range(2, MOST_RACERS + 1)}
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, self._barriers), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def enter(self, folder: Path, database_url: str, **settings: Any) -> None:
        """Have every process open an installation that is there."""
        self._tell_all(Enter(folder, database_url, settings))

    def fire(self, now: datetime, shots: Sequence[Shot]) -> list[Any]:
        """Make all calls at one moment, spread over the processes; return what they returned."""
        for number, pipe in enumerate(self._pipes):
            pipe.send(Fire(now, shots[number::PROCESSES], len(shots)))
        results: list[Any] = [None] * len(shots)
        for number, received in enumerate(self._receive()):
            results[number::PROCESSES] = received
        return results

    def leave(self) -> None:
        """Have every process close what it opened."""
        self._tell_all(Leave())

    def end(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.close()
            process.join()

    def _tell_all(self, order: object) -> None:
        for pipe in self._pipes:
            pipe.send(order)
        self._receive()

    def _receive(self) -> list[Any]:
        """Return what every process answers.

        Raises:
            TimeoutError: One of them is silent.
            RuntimeError: Something failed in one of them.
        """
        answers = []
        for pipe in self._pipes:
            if not pipe.poll(WAIT_SECONDS):
                raise TimeoutError("a process of the crew is silent")
            answers.append(pipe.recv())
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers


def _work(pipe: "Connection[object, object]", barriers: dict[int, Barrier]) -> None:
    with ExitStack() as running:
        house: House | None = None
        while True:
            try:
                order = pipe.recv()
            except (EOFError, ConnectionError):
                return
            try:
                match order:
                    case Enter(folder, database_url, settings):
                        house = House(folder, database_url, **settings)
                        running.enter_context(house.open())
                        pipe.send(None)
                    case Fire() if house is not None:
                        pipe.send(_fire(house, order, barriers[order.racers]))
                    case _:
                        running.close()
                        house = None
                        pipe.send(None)
            except Exception as error:  # noqa: BLE001 - told to the test, which raises it
                pipe.send(RuntimeError(repr(error)))


def _fire(house: House, fire: Fire, barrier: Barrier) -> list[object]:
    house.clock.now = fire.now

    def run(shot: Shot) -> object:
        barrier.wait(WAIT_SECONDS)
        return shot.act(house, *shot.args, **shot.named)

    with ThreadPoolExecutor(max(1, len(fire.shots))) as threads:
        return list(threads.map(run, fire.shots))
