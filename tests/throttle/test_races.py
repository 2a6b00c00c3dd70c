"""Many at once: exactly the limit is admitted, and nobody's try is lost or given to another."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import Connection, event, select

from tests.throttle.counters import KEY, NOW, RULE
from twinlock.db.engine import Database
from twinlock.throttle import policy, store
from twinlock.throttle.policy import Counted, Familiar, Throttled, ThrottleRules
from twinlock.throttle.store import Try
from twinlock.throttle.tables import throttle

T = TypeVar("T")
RULES = ThrottleRules()
RULE_PAUSE = timedelta(minutes=1)
RACERS = 12


def race(work: Callable[[int], T], racers: int = RACERS) -> list[T]:
    """Return what *racers* threads got from ``work(number)``, started together."""
    barrier = Barrier(racers)

    def run(number: int) -> T:
        barrier.wait(60)
        return work(number)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))


def counts(database: Database) -> dict[bytes, list[int]]:
    def read(db: Connection) -> dict[bytes, list[int]]:
        rows = db.execute(select(throttle.c.key, throttle.c.recent)).all()
        return {row.key: policy.unpack(row.recent) for row in rows}

    return database.reading(read)


@pytest.mark.parametrize("before", [0, 3])
def test_of_many_at_once_exactly_as_many_as_are_left_get_through(
    database: Database, before: int
) -> None:
    """On a fresh row and on one that is there, at one moment as the clock has it."""

    def take(_number: int) -> Try | Throttled:
        return database.transaction_once(store.take_try, rule=RULE, key=KEY, now=NOW)

    for number in range(before):
        take(number)

    outcomes = race(take)

    admitted = [outcome for outcome in outcomes if isinstance(outcome, Try)]
    assert len(admitted) == 5 - before
    assert len(counts(database)[KEY]) == 5
    assert sorted(one.in_a_row for one in admitted) == list(range(before + 1, 6))


def test_of_many_processes_exactly_as_many_as_the_limit_get_through(
    database: Database, url: str
) -> None:
    command = [sys.executable, "-m", "tests.throttle.counters", url, "5"]
    runners = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for runner in runners:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"

    admitted = 0
    for runner in runners:
        assert runner.stdin is not None
        runner.stdin.write("go\n")
        runner.stdin.flush()
    for runner in runners:
        output, _ = runner.communicate(timeout=60)
        admitted += int(output)

    assert admitted == 5
    assert len(counts(database)[KEY]) == 5


def test_right_answers_at_once_leave_nothing_counted(database: Database) -> None:
    """Each gives back its own try, whatever moments the clock gave them."""
    rule = RULES.password_network

    def answer_rightly(number: int) -> None:
        now = NOW + (number // 2) * timedelta(microseconds=1)
        taken = database.transaction_once(store.take_try, rule=rule, key=KEY, now=now)
        assert isinstance(taken, Try)
        database.transaction(store.give_back, [taken])

    race(answer_rightly)

    assert counts(database) == {KEY: []}


def test_wrong_answers_stay_counted_while_right_ones_are_given_back(database: Database) -> None:
    rule = RULES.password_network

    def answer(number: int) -> Try:
        taken = database.transaction_once(store.take_try, rule=rule, key=KEY, now=NOW)
        assert isinstance(taken, Try)
        if number % 2:
            database.transaction(store.give_back, [taken])
        return taken

    race(answer)

    assert counts(database) == {KEY: [policy.moment_of(NOW)] * (RACERS // 2)}


def test_a_try_given_back_from_the_middle_holds_its_row_meanwhile(
    throttle_postgres_url: str,
) -> None:
    """Or else a try that is counted between reading and writing would be lost."""
    key = b"held" * 8
    database, onlooker = Database(throttle_postgres_url), Database(throttle_postgres_url)
    first, _ = (
        database.transaction_once(store.take_try, rule=RULE, key=key, now=NOW + number * RULE_PAUSE)
        for number in range(2)
    )
    assert isinstance(first, Try)
    free_rows: list[object] = []

    def look(db: Connection) -> object:
        free = select(throttle.c.rule).where(throttle.c.key == key)
        return db.execute(free.with_for_update(skip_locked=True)).scalar()

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("UPDATE throttle SET recent=%(new_recent)s"):
            free_rows.append(onlooker.reading(look))

    event.listen(database.engine, "before_cursor_execute", note)
    database.transaction(store.give_back, [first])

    assert free_rows == [None]
    assert onlooker.reading(look) == RULE.name
    database.close()
    onlooker.close()


def password_counts(account: bytes, network: bytes) -> tuple[Counted, ...]:
    return RULES.password_rules(
        network=network,
        account_network=account + b"/" + network,
        strangers=account,
        browser=None,
        familiar=Familiar(network=False, browser=False),
    )


def test_passwords_of_shared_accounts_and_networks_never_wait_in_a_circle(
    database: Database,
) -> None:
    """All take their locks from network to account, so that no deadlock can be."""

    def sign_in(number: int) -> None:
        for turn in range(4):
            account, network = b"a%d" % (number % 2), b"n%d" % ((number + turn) % 2)
            counted = password_counts(account, network)
            tries = database.transaction_once(store.take_password_tries, counted, now=NOW)
            assert isinstance(tries, tuple)
            database.transaction_once(store.give_back, tries)

    race(sign_in, racers=8)

    left = counts(database)
    assert len(left) == 2 + 4 + 2
    assert not any(left.values())


def test_cleaning_up_takes_no_count_that_is_in_use(database: Database) -> None:
    """A row that expired is deleted, or counts once more and stays: never both."""
    database.transaction_once(store.take_try, rule=RULES.password_network, key=KEY, now=NOW)
    later = NOW + timedelta(days=1)

    def work(number: int) -> object:
        if number % 2:
            return database.transaction(store.expire, now=later, limit=10)
        return database.transaction_once(
            store.take_try, rule=RULES.password_network, key=KEY, now=later
        )

    race(work)

    assert counts(database)[KEY][: RACERS // 2] == [policy.moment_of(later)] * (RACERS // 2)
