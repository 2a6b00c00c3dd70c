"""The memory of verified tokens is bounded, private to each session, and forgets at once."""

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.tokens.access_token import MAX_TOKEN_BYTES
from twinlock.tokens.verified import Latest, RefusedTokens, VerifiedTokens

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
TICK = timedelta(microseconds=1)


def remember(
    tokens: VerifiedTokens[str],
    token: str,
    session: str,
    *,
    expires_at: datetime = LATER,
    now: datetime = NOW,
) -> None:
    tokens.remember(token, session, f"entry of {token}", expires_at=expires_at, now=now)


def held(tokens: VerifiedTokens[str], *names: str, now: datetime = NOW) -> list[str]:
    return [name for name in names if tokens.get(name, now=now) is not None]


def test_a_token_is_remembered_until_it_expires() -> None:
    tokens = VerifiedTokens[str]()
    remember(tokens, "one", "alice")

    assert tokens.get("one", now=LATER - TICK) == "entry of one"
    assert tokens.get("one", now=LATER) is None


def test_what_was_never_verified_is_not_known() -> None:
    tokens = VerifiedTokens[str]()
    remember(tokens, "one", "alice")

    assert held(tokens, "", "One", "one ", "on", "entry of one") == []


def test_a_newer_entry_takes_the_place_of_the_older() -> None:
    tokens = VerifiedTokens[str](per_session=2)
    remember(tokens, "first", "alice")
    remember(tokens, "second", "alice")

    for number in range(5):
        tokens.remember("first", "alice", f"seen {number}", expires_at=LATER, now=NOW)

    assert tokens.get("first", now=NOW) == "seen 4"
    assert held(tokens, "first", "second") == ["first", "second"]


@pytest.mark.parametrize("expires_at", [LATER, LATER + TICK])
def test_a_token_that_changes_hands_leaves_nothing_behind(expires_at: datetime) -> None:
    tokens = VerifiedTokens[str]()
    remember(tokens, "one", "alice")
    remember(tokens, "one", "bob", expires_at=expires_at)

    tokens.forget_session("alice")
    assert held(tokens, "one") == ["one"]

    tokens.forget_session("bob")
    assert held(tokens, "one") == []


def test_a_forgotten_session_leaves_the_others_alone() -> None:
    tokens = VerifiedTokens[str]()
    remember(tokens, "a1", "alice")
    remember(tokens, "b1", "bob")
    remember(tokens, "a2", "alice")

    tokens.forget_session("alice")
    tokens.forget_session("nobody")

    assert held(tokens, "a1", "a2", "b1") == ["b1"]


def test_everything_can_be_forgotten() -> None:
    tokens = VerifiedTokens[str]()
    remember(tokens, "a1", "alice")
    remember(tokens, "b1", "bob")

    tokens.forget_all()

    assert held(tokens, "a1", "b1") == []
    remember(tokens, "a1", "alice")
    assert held(tokens, "a1") == ["a1"]


def test_one_account_pushes_out_only_its_own() -> None:
    """A session that refreshes wildly keeps its newest tokens, and every other keeps all."""
    tokens = VerifiedTokens[str](capacity=12, per_session=8)
    for name in ("v1", "v2", "v3", "v4"):
        remember(tokens, name, f"victim {name}", expires_at=NOW + timedelta(minutes=1))

    for number in range(1_000):
        remember(tokens, f"flood {number}", "attacker")

    assert held(tokens, "v1", "v2", "v3", "v4") == ["v1", "v2", "v3", "v4"]
    assert held(tokens, "flood 991", "flood 992", "flood 999") == ["flood 992", "flood 999"]
    assert len(tokens) == 12


def test_unknown_tokens_push_out_nothing() -> None:
    tokens = VerifiedTokens[str](capacity=2)
    remember(tokens, "one", "alice")
    remember(tokens, "two", "bob")

    for number in range(1_000):
        assert tokens.get(f"invented {number}", now=NOW) is None

    assert held(tokens, "one", "two") == ["one", "two"]


def test_expired_tokens_make_room_before_living_ones() -> None:
    tokens = VerifiedTokens[str](capacity=2)
    remember(tokens, "living", "alice")
    remember(tokens, "expiring", "bob", expires_at=NOW + timedelta(minutes=1))

    remember(tokens, "new", "carol", now=NOW + timedelta(minutes=1))

    assert held(tokens, "living", "new") == ["living", "new"]
    assert len(tokens) == 2


def test_a_later_expiry_replaces_the_earlier() -> None:
    tokens = VerifiedTokens[str]()
    remember(tokens, "one", "alice", expires_at=NOW + timedelta(minutes=1))
    remember(tokens, "one", "alice", expires_at=LATER)

    remember(tokens, "other", "bob", now=NOW + timedelta(minutes=5))

    assert held(tokens, "one", now=LATER - TICK) == ["one"]


def test_the_oldest_makes_room_when_all_live() -> None:
    tokens = VerifiedTokens[str](capacity=2)
    for minute, name in enumerate(("oldest", "older", "new")):
        moment = NOW + timedelta(minutes=minute)
        remember(tokens, name, name, expires_at=moment + timedelta(minutes=10), now=moment)

    assert held(tokens, "oldest", "older", "new") == ["older", "new"]


def test_expired_tokens_take_no_memory() -> None:
    tokens = VerifiedTokens[str]()
    for number in range(100):
        remember(tokens, f"t{number}", f"s{number}")

    remember(tokens, "new", "alice", expires_at=LATER + timedelta(minutes=10), now=LATER)

    assert len(tokens) == 1


def test_a_session_that_comes_and_goes_takes_no_memory() -> None:
    """Forgetting leaves a note of the expiry behind; such notes must not pile up."""
    tokens = VerifiedTokens[str](capacity=3)
    remember(tokens, "late", "bob", expires_at=LATER + TICK)
    remember(tokens, "soon", "carol", expires_at=LATER - TICK)

    for _ in range(100):
        remember(tokens, "again", "alice")
        tokens.forget_session("alice")
        assert len(tokens._expiries) <= 7

    remember(tokens, "third", "dave")
    remember(tokens, "fourth", "erin")
    assert held(tokens, "late", "soon", "again", "third", "fourth") == ["late", "third", "fourth"]


def test_after_forgetting_everything_nothing_is_left() -> None:
    tokens = VerifiedTokens[str]()
    remember(tokens, "one", "alice")

    tokens.forget_all()

    assert (tokens._entries, tokens._of_session, tokens._expiries) == ({}, {}, [])


def test_too_long_a_token_is_not_even_hashed() -> None:
    tokens = VerifiedTokens[str]()
    just_fits = "x" * MAX_TOKEN_BYTES
    remember(tokens, just_fits, "alice")
    remember(tokens, just_fits + "x", "alice")

    assert held(tokens, just_fits, just_fits + "x") == [just_fits]


@pytest.mark.parametrize("text", ["\ud800", "ä", "\0", "\U0001f510" * 10])
def test_no_text_raises(text: str) -> None:
    tokens = VerifiedTokens[str]()
    refused = RefusedTokens()

    assert tokens.get(text, now=NOW) is None
    refused.add(text, at=0.0)
    assert refused.has(text, at=0.0)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["remember", "forget", "forget all"]),
        st.integers(0, 9),
        st.integers(1, 5),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_the_bounds_hold_in_every_history(actions: list[tuple[str, int, int]]) -> None:
    """Five places, two for each session; a token is known only while it was not forgotten."""
    tokens = VerifiedTokens[str](capacity=5, per_session=2)
    model: dict[str, tuple[str, datetime]] = {}
    for minute, (action, number, life) in enumerate(actions):
        now = NOW + timedelta(minutes=minute)
        session = f"s{number % 3}"
        match action:
            case "remember":
                expires_at = now + timedelta(minutes=life)
                remember(tokens, f"t{number}", session, expires_at=expires_at, now=now)
                model[f"t{number}"] = (session, expires_at)
            case "forget":
                tokens.forget_session(session)
                model = {name: item for name, item in model.items() if item[0] != session}
            case _:
                tokens.forget_all()
                model = {}
        known = held(tokens, *(f"t{n}" for n in range(10)), now=now)
        owners = [model[name][0] for name in known]
        assert all(now < model[name][1] for name in known)
        assert len(tokens) <= 5
        assert all(owners.count(owner) <= 2 for owner in owners)
        assert action != "remember" or f"t{number}" in known


def test_reading_goes_on_while_other_threads_forget() -> None:
    """The poller forgets in its own thread; a reader sees an entry or none, never an error."""
    tokens = VerifiedTokens[str](capacity=64)
    names = [f"t{number}" for number in range(32)]
    done = threading.Event()
    errors: list[BaseException] = []

    def forget() -> None:
        try:
            while not done.is_set():
                for number in range(32):
                    tokens.forget_session(f"s{number}")
                tokens.forget_all()
        except BaseException as error:
            errors.append(error)
            raise

    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    poller = threading.Thread(target=forget)
    poller.start()
    try:
        for _ in range(200):
            for number, name in enumerate(names):
                remember(tokens, name, f"s{number}")
                assert tokens.get(name, now=NOW) in (None, f"entry of {name}")
    finally:
        done.set()
        poller.join()
        sys.setswitchinterval(switch_interval)

    assert errors == []
    tokens.forget_all()
    assert len(tokens) == 0


def push_out(tokens: VerifiedTokens[str], *sessions: str) -> None:
    for number, session in enumerate(sessions):
        remember(tokens, f"other {number}", session)


@pytest.mark.parametrize(
    "forget",
    [
        pytest.param(lambda tokens: tokens.forget_session("alice"), id="its session"),
        pytest.param(lambda tokens: tokens.forget_all(), id="everything"),
        pytest.param(lambda tokens: remember(tokens, "one", "alice"), id="a newer entry"),
        pytest.param(lambda tokens: remember(tokens, "one", "bob"), id="another owner"),
        pytest.param(lambda tokens: push_out(tokens, "alice", "alice"), id="its own session's"),
        pytest.param(lambda tokens: push_out(tokens, *"abcde"), id="those of others"),
    ],
)
def test_whoever_keeps_what_was_held_sees_it_forgotten(
    forget: Callable[[VerifiedTokens[str]], None],
) -> None:
    """What a request found a moment ago may be in the hands of the next one."""
    tokens = VerifiedTokens[str](capacity=4, per_session=2)
    remember(tokens, "one", "alice", expires_at=LATER - TICK)
    held = tokens.find("one")
    assert held is not None
    assert not held.is_forgotten

    forget(tokens)

    assert held.is_forgotten


def test_the_latest_headers_are_few_and_short() -> None:
    latest = Latest[int](capacity=3)
    for number in range(4):
        latest.keep(b"Bearer %d" % number, number)
    latest.keep(b"x" * (MAX_TOKEN_BYTES + 1), 5)

    kept = [latest.find(b"Bearer %d" % number) for number in range(4)]
    assert kept == [None, None, None, 3]
    assert latest.find(b"x" * (MAX_TOKEN_BYTES + 1)) is None


def test_a_refusal_holds_for_a_moment() -> None:
    refused = RefusedTokens(seconds=1.0)
    refused.add("forged", at=10.0)

    assert refused.has("forged", at=10.999)
    assert not refused.has("forged", at=11.0)
    assert not refused.has("other", at=10.0)


def test_a_flood_of_refusals_is_bounded() -> None:
    refused = RefusedTokens(capacity=3)
    for number in range(10):
        refused.add(f"forged {number}", at=0.0)

    assert len(refused) == 3
    assert [n for n in range(10) if refused.has(f"forged {n}", at=0.0)] == [7, 8, 9]


def test_repeating_a_refusal_pushes_out_no_other() -> None:
    refused = RefusedTokens(capacity=2)
    refused.add("first", at=0.0)
    refused.add("second", at=0.0)

    refused.add("second", at=0.5)

    assert refused.has("first", at=0.5)
    assert refused.has("second", at=1.25)


def test_refusals_end_with_the_keys_that_they_were_made_with() -> None:
    refused = RefusedTokens()
    refused.add("signed by a key not loaded yet", at=0.0)

    refused.clear()

    assert not refused.has("signed by a key not loaded yet", at=0.0)
