"""``python -m reliability crash --database sqlite --kills 200``: try what is promised."""

import argparse
import asyncio
import signal
import sys
import time

from reliability import crash, faults, machines, mutants, pooler, races, record, requests
from reliability.report import Report

GOALS = {
    "crash": "R1",
    "races": "R2",
    "faults": "R3",
    "machines": "R3",
    "postgres": "R3",
    "requests": "R4",
    "mutants": "R8",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    common.add_argument("--minutes", type=float, default=600, help="stop after as long")
    common.add_argument("--seed", type=int, default=1)
    common.add_argument("--record", action="store_true", help="keep what came out, in the docs too")
    one = commands.add_parser("crash", parents=[common], help="goal R1: kill -9, and check")
    one.add_argument("--kills", type=int, default=200)
    one = commands.add_parser("races", parents=[common], help="goal R2: 64 at once, one winner")
    one.add_argument("--rounds", type=int, default=1000)
    one.add_argument("--at-once", type=int, default=1, help="installations side by side")
    one = commands.add_parser("faults", parents=[common], help="goal R3: break what they stand on")
    one.add_argument("--only", default="", help="part of a fault's name")
    commands.add_parser("machines", parents=[common], help="several hosts on one PostgreSQL")
    commands.add_parser("postgres", parents=[common], help="PgBouncer, and a failover")
    one = commands.add_parser("requests", parents=[common], help="goal R4: bent requests")
    one.add_argument("--number", type=int, default=100_000)
    one = commands.add_parser("mutants", parents=[common], help="goal R8: do tests notice?")
    one.add_argument("--only", default="", help="part of a module's path")
    commands.add_parser("table", help="write the table of the docs anew, from history.jsonl")
    given = parser.parse_args()
    if given.command == "table":
        record.write_page()
        return 0
    # Told to end, it ends its servers and takes its files away, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    begun = time.monotonic()
    report = _run(given)
    report.show()
    if given.record:
        what = f"`{given.command}`"
        if given.command in {"crash", "races", "faults"}:
            what += " on " + {"sqlite": "SQLite", "postgres": "PostgreSQL"}[given.database]
        if given.command == "requests":
            what += f", seed {given.seed}"
        seconds = time.monotonic() - begun
        record.keep(report, goal=GOALS[given.command], what=what, seconds=seconds)
    return 0 if report.is_kept else 1


def _run(given: argparse.Namespace) -> Report:
    match given.command:
        case "crash":
            effort = crash.Effort(kills=given.kills, minutes=given.minutes)
            return asyncio.run(crash.run(given.database, effort, seed=given.seed))
        case "races":
            many = races.Effort(given.rounds, given.minutes, at_once=given.at_once)
            return asyncio.run(races.run(given.database, many))
        case "faults":
            return asyncio.run(faults.run(given.database, only=given.only))
        case "machines":
            return asyncio.run(machines.run(seed=given.seed))
        case "postgres":
            return asyncio.run(pooler.run(seed=given.seed))
        case "requests":
            return requests.run(given.number, seed=given.seed)
        case "mutants":
            return mutants.run(only=given.only)
        case other:
            raise AssertionError(other)


if __name__ == "__main__":
    sys.exit(main())
