"""``python -m benchmarks [--full] [--only P1,P3]``: measure, print one table, keep a history."""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks import (
    footprint,
    growth,
    guarded_request,
    login_cost,
    login_rate,
    login_storm,
    refusals,
    report,
    revocations,
    upkeep,
)
from benchmarks.postgres import postgres_url
from benchmarks.processes import prepare_scratch
from benchmarks.results import Result


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: ``--full`` takes more rounds, and the slow parts too."""

    is_full: bool

    def rounds(self, usually: int, *, full: int) -> int:
        return full if self.is_full else usually


Measure = Callable[[Effort], Awaitable[list[Result]]]


async def p1(effort: Effort) -> list[Result]:
    return await guarded_request.measure(rounds=effort.rounds(30, full=150), seconds=0.12)


async def p2(effort: Effort) -> list[Result]:
    return await revocations.measure(
        reads=effort.rounds(60_000, full=1_000_000),
        kills=effort.rounds(3, full=20),
        first_sights=effort.rounds(600, full=1_600),
    )


async def p3(effort: Effort) -> list[Result]:
    with postgres_url("p3") as url:
        return await login_cost.measure(
            rounds=effort.rounds(6, full=10), logins=160, postgres_url=url
        )


async def p4(effort: Effort) -> list[Result]:
    return await login_rate.measure(rounds=effort.rounds(3, full=8), seconds=3)


async def p5(effort: Effort) -> list[Result]:
    return await login_storm.measure(rounds=effort.rounds(2, full=5), seconds=6)


async def p6(effort: Effort) -> list[Result]:
    return await growth.measure(
        rounds=effort.rounds(3, full=16),
        accounts=effort.rounds(100_000, full=1_000_000),
        rows=effort.rounds(100_000, full=10_000_000),
        pages=effort.rounds(6, full=30),
    )


async def p7(effort: Effort) -> list[Result]:
    return await refusals.measure(rounds=effort.rounds(20, full=80), seconds=0.15)


async def p8(effort: Effort) -> list[Result]:
    return await footprint.measure(rounds=effort.rounds(5, full=15))


async def p10(effort: Effort) -> list[Result]:
    return await upkeep.measure(
        rounds=effort.rounds(1, full=4), rows=effort.rounds(20_000, full=1_000_000), seconds=5
    )


MEASURES: dict[str, Measure] = {
    "P1": p1,
    "P2": p2,
    "P3": p3,
    "P4": p4,
    "P5": p5,
    "P6": p6,
    "P7": p7,
    "P8": p8,
    "P10": p10,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="more rounds, and the slow parts too")
    parser.add_argument("--only", default="", help="goals to measure, such as P1,P3")
    parser.add_argument("--dry", action="store_true", help="print only, keep no record")
    given = parser.parse_args()
    wanted = [name for name in given.only.upper().split(",") if name] or list(MEASURES)
    prepare_scratch()
    results: list[Result] = []
    started = time.monotonic()
    for name in wanted:
        begun = time.monotonic()
        found = asyncio.run(MEASURES[name](Effort(given.full)))
        report.print_results(found)
        print(f"  ({name} took {time.monotonic() - begun:.0f} s)", flush=True)
        results += found
    print(f"  (all took {(time.monotonic() - started) / 60:.1f} min)", flush=True)
    report.print_regressions(results)
    if not given.dry:
        report.keep(results, is_full=given.full)


main()
