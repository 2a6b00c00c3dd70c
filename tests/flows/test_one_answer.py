"""A denied login is the same for every reason: in words, in header names, and in work done."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import ParamSpec, TypeVar

import pytest
from httpx2 import Response
from sqlalchemy import text

from tests.support.home import WRONG_CODE, WRONG_PASSWORD, Home, told
from tests.support.house import OPERATOR, PASSWORD
from twinlock.audit.events import Caller, EventType
from twinlock.core.proof import Reason
from twinlock.db.prepared import PreparedConnection
from twinlock.flows.admission import Request
from twinlock.flows.outcomes import Denied
from twinlock.web.hash_pool import HashPool, Place
from twinlock.web.password_step import Submitted, submit_password

P = ParamSpec("P")
T = TypeVar("T")

Who = tuple[str, str]
"""A name and a password that get nobody in."""


def unknown(_home: Home) -> Who:
    return "nobody", PASSWORD


def wrong(home: Home) -> Who:
    home.house.create("alice")
    return "alice", WRONG_PASSWORD


def wrong_with_a_second_factor(_home: Home) -> Who:
    return "johndoe", WRONG_PASSWORD


def disabled(home: Home) -> Who:
    home.house.create("alice", is_disabled=True)
    return "alice", PASSWORD


def disabled_with_a_second_factor(home: Home) -> Who:
    home.house.administration.disable(home.house.account(), OPERATOR, now=home.house.now)
    return "johndoe", PASSWORD


def deleted(home: Home) -> Who:
    home.house.administration.delete(home.house.account(), OPERATOR, now=home.house.now)
    return "johndoe", PASSWORD


def unverified(home: Home) -> Who:
    home.house.create("alice", is_email_verified=False)
    return "alice@example.com", PASSWORD


def passwordless(home: Home) -> Who:
    home.house.create("alice", None)
    return "alice", PASSWORD


def expired(home: Home) -> Who:
    home.house.create("alice", password_expires_at=home.house.now)
    return "alice", PASSWORD


def in_enrollment(home: Home) -> Who:
    home.house.factor_administration.reset(home.house.account(), OPERATOR, now=home.house.now)
    return "johndoe", WRONG_PASSWORD


def broken(home: Home) -> Who:
    home.execute(text("UPDATE subject SET seal = x'00'"))
    return "johndoe", PASSWORD


def too_long(_home: Home) -> Who:
    return "johndoe", "p" * 1_025


def with_nul(_home: Home) -> Who:
    return "johndoe", PASSWORD + "\0"


STATES = [
    wrong,
    wrong_with_a_second_factor,
    disabled,
    disabled_with_a_second_factor,
    deleted,
    unverified,
    passwordless,
    expired,
    in_enrollment,
    broken,
    too_long,
    with_nul,
]
REASONS = {
    unknown: Reason.UNKNOWN_ACCOUNT,
    wrong: Reason.WRONG_PASSWORD,
    disabled: Reason.DISABLED,
    disabled_with_a_second_factor: Reason.DISABLED,
    deleted: Reason.UNKNOWN_ACCOUNT,
    unverified: Reason.UNKNOWN_ACCOUNT,
    passwordless: Reason.WRONG_PASSWORD,
    expired: Reason.PASSWORD_EXPIRED,
    in_enrollment: Reason.WRONG_PASSWORD,
    broken: Reason.SEAL_BROKEN,
}

state = pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)


def two_steps(home: Home, who: Who) -> Response:
    name, password = who
    return home.client.post("/api/login", json={"username": name, "password": password})


def token(home: Home, who: Who) -> Response:
    name, password = who
    return home.token(password, name)


def token_with_otp(home: Home, who: Who) -> Response:
    name, password = who
    return home.token(password, name, otp=WRONG_CODE)


def token_with_code(home: Home, who: Who) -> Response:
    name, password = who
    return home.token(password + WRONG_CODE, name)


DOORS = [two_steps, token, token_with_otp, token_with_code]
door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


@contextmanager
def counted_statements(home: Home) -> Iterator[list[str]]:
    """Give every statement that flows send to SQLite, transactions included."""
    statements: list[str] = []
    runtime = home.house.runtime
    for other in (runtime.sight, runtime.upkeep, runtime.delivery):
        other.close()  # or the thread of a flow might write for them, and they for it

    connections = home.house.database._connections
    take = connections._next

    def traced() -> PreparedConnection:
        connection = take()
        connection._driver.set_trace_callback(statements.append)
        return connection

    connections._next = traced  # type: ignore[method-assign] # whichever comes next is heard
    yield statements
    connections._next = take  # type: ignore[method-assign]
    for opened in connections._idle:
        opened._driver.set_trace_callback(None)


class CountingPool(HashPool):
    """A pool that tells how many hashes it was asked for."""

    asked = 0

    def place(self) -> Place:
        """Take a place that counts its hash."""
        super().place()
        return CountingPlace(self)


class CountingPlace(Place):
    """The place that a `CountingPool` has just taken."""

    def __init__(self, pool: CountingPool) -> None:
        super().__init__(pool._crew, pool.threads)
        self._pool = pool

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Count, and run."""
        self._pool.asked += 1
        return await super().run(work, *args, **kwargs)


@pytest.fixture
def home(home: Home) -> Home:
    """Seen from a network that johndoe has never signed in from."""
    return replace(home, client=home.from_address("192.0.2.1"))


# --- Words ----------------------------------------------------------------------------------


@door
@state
def test_every_denial_is_told_in_the_same_way(
    home: Home, state: Callable[[Home], Who], door: Callable[[Home, Who], Response]
) -> None:
    expected = told(door(home, unknown(home)))

    response = door(home, state(home))

    assert told(response) == expected
    assert response.status_code in {400, 401}


def test_a_right_password_with_a_wrong_code_is_told_in_the_same_way(home: Home) -> None:
    expected = told(token_with_otp(home, unknown(home)))

    assert told(token_with_otp(home, ("johndoe", PASSWORD))) == expected
    assert told(token_with_code(home, ("johndoe", PASSWORD))) == expected


def test_the_password_alone_of_who_has_a_passkey_only_opens_nothing(home: Home) -> None:
    """Its digits are never split off, and the token endpoint offers nothing to type."""
    home.execute(text("UPDATE authenticator SET code_digits = NULL"))

    answers = [token(home, ("johndoe", PASSWORD)), token_with_code(home, ("johndoe", PASSWORD))]

    assert [answer.status_code for answer in answers] == [403, 400]


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.__name__)
def test_the_reason_is_in_the_audit_log_only(home: Home, reason: Callable[[Home], Who]) -> None:
    name, password = reason(home)

    response = two_steps(home, (name, password))

    event = home.events(EventType.LOGIN_DENIED)[0]
    assert event.reason == REASONS[reason]
    assert event.reason not in response.text
    assert (event.name_digest is None) == (event.subject_id is not None)


def test_a_name_that_nobody_has_is_not_written_down(home: Home) -> None:
    """People type their password into the field of the name."""
    two_steps(home, ("hunter2-hunter2", PASSWORD))

    (event,) = home.events(EventType.LOGIN_DENIED)
    assert "hunter2" not in repr(event)


# --- Work -----------------------------------------------------------------------------------


@pytest.mark.parametrize("door", [two_steps, token_with_otp], ids=lambda door: door.__name__)
@state
def test_every_denial_takes_as_many_statements(
    home: Home, state: Callable[[Home], Who], door: Callable[[Home, Who], Response]
) -> None:
    nobody, who = unknown(home), state(home)
    in_alarm = int(state is broken)  # looks once more before it rings
    with counted_statements(home) as expected:
        door(home, nobody)

    with counted_statements(home) as statements:
        door(home, who)

    assert len(statements) - in_alarm == len(expected) > 5


def test_a_throttled_denial_takes_as_many_statements(home: Home) -> None:
    for _ in range(10):
        for name in ("johndoe", "nobody"):
            two_steps(home, (name, WRONG_PASSWORD))

    with counted_statements(home) as of_nobody:
        assert two_steps(home, unknown(home)).status_code == 429
    with counted_statements(home) as of_john:
        assert two_steps(home, ("johndoe", PASSWORD)).status_code == 429

    assert len(of_john) == len(of_nobody) > 5


@pytest.mark.parametrize("code", [WRONG_CODE, "0000-0000-0000-0000-0000-0000"])
@pytest.mark.parametrize("before", [0, 5], ids=["counted", "throttled"])
def test_a_wrong_code_takes_as_many_statements_as_a_wrong_password(
    home: Home, before: int, code: str
) -> None:
    """And as many transactions: each waits for the disk, which a stopwatch sees."""
    for _ in range(before):
        home.house.clock.advance(seconds=1)
        two_steps(home, ("johndoe", WRONG_PASSWORD))
        home.answer(home.begin(), WRONG_CODE)
    for _ in range(before):
        home.token(WRONG_PASSWORD, "johndoe", otp=WRONG_CODE)
    home.house.clock.advance(minutes=4)
    client = home.from_address("198.51.100.7")

    with counted_statements(home) as of_password:
        token_with_otp(replace(home, client=client), ("johndoe", WRONG_PASSWORD))
    with counted_statements(home) as of_code:
        token_with_otp(replace(home, client=client), ("johndoe", PASSWORD))

    assert of_code.count("COMMIT") == of_password.count("COMMIT") == 3
    assert len(of_code) == len(of_password)


async def submit(home: Home, pool: HashPool, submitted: Submitted) -> object:
    runtime = replace(home.house.runtime, hash_pool=pool)
    request = Request(Caller(ip="192.0.2.1"))
    return await submit_password(runtime, submitted, request, now=home.house.now)


@pytest.mark.parametrize("otp", [None, WRONG_CODE])
@pytest.mark.parametrize("may_append", [False, True])
@pytest.mark.parametrize("state", [unknown, *STATES], ids=lambda state: state.__name__)
def test_every_denial_takes_one_hash(
    home: Home, state: Callable[[Home], Who], otp: str | None, may_append: bool
) -> None:
    name, password = state(home)
    pool = CountingPool(1)

    outcome = asyncio.run(
        submit(home, pool, Submitted(name, password, otp=otp, may_append=may_append))
    )
    pool.close()

    assert isinstance(outcome, Denied)
    assert pool.asked == 1


@pytest.mark.parametrize("ending", ["", WRONG_CODE, "12345"])
def test_a_password_that_may_be_split_takes_one_hash(home: Home, ending: str) -> None:
    pool = CountingPool(1)

    asyncio.run(submit(home, pool, Submitted("johndoe", PASSWORD + ending, may_append=True)))
    pool.close()

    assert pool.asked == 1


def test_a_throttled_login_takes_no_hash(home: Home) -> None:
    pool = CountingPool(1)
    for _ in range(10):
        two_steps(home, ("nobody", PASSWORD))
        two_steps(home, ("johndoe", WRONG_PASSWORD))

    asyncio.run(submit(home, pool, Submitted("nobody", PASSWORD)))
    asyncio.run(submit(home, pool, Submitted("johndoe", PASSWORD)))
    pool.close()

    assert pool.asked == 0


@pytest.mark.parametrize("otp, hashes", [(WRONG_CODE, 1), (None, 2)])
def test_an_old_hash_is_upgraded_behind_the_answer_only(
    settle: Callable[..., Home], otp: str | None, hashes: int
) -> None:
    """A second hash before a denial would tell that the password was right."""
    home = settle(hash_iterations=2)
    pool = CountingPool(1)

    asyncio.run(submit(home, pool, Submitted("johndoe", PASSWORD, otp=otp)))
    pool.close()

    upgraded = home.house.account().password_hash
    assert pool.asked == hashes
    assert upgraded is not None
    assert ("t=2" in upgraded) == (hashes == 2)
    assert home.token(PASSWORD, otp=home.code()).status_code == 200


def test_the_first_password_dies_at_its_moment(home: Home) -> None:
    home.house.create("alice", password_expires_at=home.house.now + timedelta(hours=24))
    home.house.clock.advance(hours=24, microseconds=-1)
    before = two_steps(home, ("alice", PASSWORD)).status_code
    home.house.clock.advance(microseconds=1)

    assert (before, two_steps(home, ("alice", PASSWORD)).status_code) == (200, 401)
