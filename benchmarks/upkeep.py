"""P10: what clearing away and re-sealing cost, and what others notice of them.

A second process does the work, as another worker or the command line would, while the server
answers a hundred reads a second.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Final

from benchmarks import load, login_storm, signing_in
from benchmarks.filling import Sizes
from benchmarks.houses import Built, House
from benchmarks.postgres import ROOMY, postgres_url
from benchmarks.processes import ROOT
from benchmarks.results import Result, compared
from twinlock.audit.events import Caller
from twinlock.composition import build_parts, close_parts
from twinlock.config.settings import Settings, load_master_keys
from twinlock.flows import maintenance
from twinlock.flows.parts import Parts
from twinlock.flows.rotation import SecretRotation

_PEOPLE: Final = 2_000
_KEPT: Final = timedelta(days=200)
"""The events that are filled in are of a year."""
_PAUSE_SECONDS: Final = 0.05
"""What a server waits between two transactions."""


async def measure(*, rounds: int, rows: int, seconds: float) -> list[Result]:
    """Clear away and re-seal on both databases."""
    results = await _measure_on("SQLite", None, rounds=rounds, rows=rows, seconds=seconds)
    with postgres_url("p10", ROOMY) as url:
        if url is not None:
            results += await _measure_on(
                "PostgreSQL", url, rounds=rounds, rows=rows, seconds=seconds
            )
    return results


async def _measure_on(
    name: str, url: str | None, *, rounds: int, rows: int, seconds: float
) -> list[Result]:
    with ExitStack() as stack:
        built = Built(stack, f"{name}-upkeep", url, accounts=_PEOPLE)
        house = built.filled(Sizes(0), Sizes(0, rows)).served()
        token = await signing_in.token_of(house.server, house.where.people)
        request = load.get("/users/me", token=token)
        results = []
        async with load.connections(house.server, 24) as readers:
            await login_storm.p99(readers, request, seconds=1)
            for what, job in (("clearing away", "clean_up"), ("re-sealing", "reseal")):
                idle, busy, told = [], [], []
                for _ in range(rounds):
                    idle.append(await login_storm.p99(readers, request, seconds=seconds))
                    working = await _started(house, job, seconds)
                    busy.append(await login_storm.p99(readers, request, seconds=seconds))
                    told.append(json.loads((await working.communicate())[0]))
                rate = sum(one["rows"] for one in told) / sum(one["seconds"] for one in told)
                cost = sum(one["cpu"] for one in told) / sum(one["rows"] for one in told)
                called = f"{what}, {name}, {rows:,} events"
                results += [
                    Result("P10", f"rows of {called}", rate, unit="/s"),
                    Result("P10", f"its own CPU for a row of {called}", cost * 1e6, unit="µs"),
                    compared(
                        "P10", f"p99 of reads during {called}, of idle", busy, idle, at_most=1.5
                    ),
                ]
        return results


async def _started(house: House, job: str, seconds: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.upkeep", job, str(seconds)),
        cwd=ROOT,
        env={**os.environ, **house.where.environment},
        stdout=asyncio.subprocess.PIPE,
    )


def _clean_up(parts: Parts, is_over: Callable[[], bool]) -> int:
    def pause() -> bool:
        time.sleep(_PAUSE_SECONDS)
        return is_over()

    deleted = maintenance.clean_up(parts, keep_events=_KEPT, now=parts.clock(), pause=pause)
    return sum(deleted.values())


def _reseal(parts: Parts, settings: Settings, is_over: Callable[[], bool]) -> int:
    rotation = SecretRotation(parts)
    if not rotation.is_unfinished():
        newest = load_master_keys(settings)[0]
        rotation.add_key(settings.secret_keys_file, newest=newest)
    done = rotation.reseal(Caller(), progress=lambda fraction: None)
    return done.values


def main() -> None:
    """Work for some seconds and tell how much was done."""
    job, seconds = sys.argv[1], float(sys.argv[2])
    settings = Settings()
    parts = build_parts(settings)
    begun, cpu = time.monotonic(), time.process_time()

    def is_over() -> bool:
        return time.monotonic() - begun > seconds

    rows = _clean_up(parts, is_over) if job == "clean_up" else _reseal(parts, settings, is_over)
    told = {"rows": rows, "seconds": time.monotonic() - begun, "cpu": time.process_time() - cpu}
    print(json.dumps(told))
    close_parts(parts)


if __name__ == "__main__":
    main()
