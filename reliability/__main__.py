"""``python -m reliability crash --database sqlite --kills 200``: try what is promised."""

import argparse
import asyncio
import sys

from reliability import crash, faults, machines, pooler, races


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    common.add_argument("--minutes", type=float, default=600, help="stop after as long")
    common.add_argument("--seed", type=int, default=1)
    one = commands.add_parser("crash", parents=[common], help="goal R1: kill -9, and check")
    one.add_argument("--kills", type=int, default=200)
    one = commands.add_parser("races", parents=[common], help="goal R2: 64 at once, one winner")
    one.add_argument("--rounds", type=int, default=1000)
    one = commands.add_parser("faults", parents=[common], help="goal R3: break what they stand on")
    one.add_argument("--only", default="", help="part of a fault's name")
    commands.add_parser("machines", parents=[common], help="several hosts on one PostgreSQL")
    commands.add_parser("postgres", parents=[common], help="PgBouncer, and a failover")
    given = parser.parse_args()
    match given.command:
        case "crash":
            effort = crash.Effort(kills=given.kills, minutes=given.minutes)
            report = asyncio.run(crash.run(given.database, effort, seed=given.seed))
        case "races":
            many = races.Effort(rounds=given.rounds, minutes=given.minutes)
            report = asyncio.run(races.run(given.database, many))
        case "faults":
            report = asyncio.run(faults.run(given.database, only=given.only))
        case "machines":
            report = asyncio.run(machines.run(seed=given.seed))
        case "postgres":
            report = asyncio.run(pooler.run(seed=given.seed))
        case other:
            raise AssertionError(other)
    report.show()
    return 0 if report.is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
