"""What other processes do to a count in these tests."""

import sys
from datetime import UTC, datetime

from twinlock.db.engine import Database
from twinlock.throttle import store
from twinlock.throttle.policy import ThrottleRules
from twinlock.throttle.store import Try

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULE = ThrottleRules().second_factor
KEY = b"k" * 32


def count_admitted(url: str, tries: int) -> int:
    """Take *tries* of one count, one after the other; return how many were admitted."""
    database = Database(url)
    outcomes = [
        database.transaction_once(store.take_try, rule=RULE, key=KEY, now=NOW) for _ in range(tries)
    ]
    database.close()
    return sum(isinstance(outcome, Try) for outcome in outcomes)


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{count_admitted(sys.argv[1], int(sys.argv[2]))}\n")
