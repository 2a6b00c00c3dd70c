"""Many people at once, who go on until they are told to stop."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence

from benchmarks.installation import Person
from reliability.client import Address, Client, ip_of
from reliability.report import Report
from reliability.visitors import Visitor, act, choose


class Crowd:
    """Everybody, and who was there since the last check.

    Who has no certain answer does nothing until the checker has settled it.
    """

    def __init__(
        self, people: Sequence[Person], address: Address, report: Report, chance: random.Random
    ) -> None:
        visitors = [
            Visitor(person, Client(address, ip_of(number))) for number, person in enumerate(people)
        ]
        chance.shuffle(visitors)
        self._waiting = deque(visitors)
        self._touched: dict[str, Visitor] = {}
        self._parked: list[Visitor] = []
        self._report = report
        self._chance = chance
        self._stop = asyncio.Event()
        self._clients: list[asyncio.Task[None]] = []

    def start(self, clients: int) -> None:
        """Let as many as there are *clients* act at once."""
        self._stop.clear()
        self._clients = [asyncio.create_task(self._act()) for _ in range(clients)]

    async def stop(self) -> None:
        """Wait until the last of them has its answer, or none."""
        self._stop.set()
        await asyncio.gather(*self._clients)

    def take_touched(self) -> list[Visitor]:
        """Return who did anything since the last time; they may act again."""
        touched = list(self._touched.values())
        self._touched.clear()
        self._waiting.extend(self._parked)
        self._parked.clear()
        return touched

    async def _act(self) -> None:
        while not self._stop.is_set():
            if not self._waiting:
                await asyncio.sleep(0.05)  # until somebody may sign in again
                continue
            visitor = self._waiting.popleft()
            kind = choose(visitor, self._chance.random())
            if kind is None:
                self._waiting.append(visitor)
                await asyncio.sleep(0.01)
                continue
            self._touched[visitor.name] = visitor
            await act(visitor, kind, self._report)
            (self._waiting if visitor.unsure is None else self._parked).append(visitor)
