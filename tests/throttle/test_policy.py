"""The rules of counting, without a database."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core.errors import ConfigurationError
from twinlock.throttle import policy
from twinlock.throttle.policy import (
    CLOCK_SKEW,
    MICROSECOND,
    Admitted,
    Counted,
    Familiar,
    Limit,
    Rule,
    Throttled,
    ThrottleRules,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
RULES = ThrottleRules()
ALL_RULES = (
    RULES.second_factor,
    RULES.second_factor_decoy,
    RULES.password_network,
    RULES.password_account_network,
    RULES.password_strangers,
    RULES.password_known_browser,
)
# As the rules of safety state them, section 3.
STATED_LIMITS = [
    (RULES.second_factor, 0, 5, timedelta(minutes=5)),
    (RULES.second_factor, 1, 20, timedelta(hours=1)),
    (RULES.second_factor, 2, 50, timedelta(hours=24)),
    (RULES.password_account_network, 0, 10, timedelta(minutes=10)),
    (RULES.password_network, 0, 100, timedelta(hours=1)),
    (RULES.password_strangers, 0, 100, timedelta(hours=24)),
    (RULES.password_known_browser, 0, 10, timedelta(minutes=10)),
]


@dataclass
class Model:
    """Counts as the rules are stated: it remembers every try and looks at whole windows."""

    rule: Rule
    tries: list[datetime] = field(default_factory=list)

    def admits(self, now: datetime) -> bool:
        fits = all(
            sum(tried > now - limit.window for tried in self.tries) < limit.max_tries
            for limit in self.rule.limits
        )
        trickle = self.rule.trickle
        return fits or (trickle is not None and now - max(self.tries) >= trickle)


def take(recent: bytes, rule: Rule, now: datetime) -> bytes:
    outcome = policy.admit(recent, rule, now=now)
    assert isinstance(outcome, Admitted)
    return outcome.recent


def full_count(rule: Rule, limit: Limit) -> tuple[bytes, datetime]:
    """Fill a limit evenly, so that the shorter ones have room; return the first try's moment."""
    recent = b""
    for number in range(limit.max_tries):
        recent = take(recent, rule, NOW + number * limit.window / limit.max_tries)
    return recent, NOW


rules = st.sampled_from(
    (
        *ALL_RULES,
        Rule("small", (Limit(1, timedelta(seconds=1)),)),
        Rule("two", (Limit(2, MINUTE), Limit(3, 5 * MINUTE)), trickle=timedelta(seconds=20)),
        Rule("three", (Limit(1, MINUTE), Limit(2, 3 * MINUTE), Limit(4, HOUR))),
    )
)
pauses = st.lists(
    st.one_of(
        st.just(timedelta(0)),
        st.timedeltas(timedelta(0), timedelta(seconds=3)),
        st.sampled_from((20, 60, 180, 300, 600, 3600, 86_400)).map(
            lambda seconds: timedelta(seconds=seconds)
        ),
        st.timedeltas(timedelta(0), timedelta(hours=30)),
    ),
    max_size=160,
)
moments = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("rule, index, max_tries, window", STATED_LIMITS)
def test_the_limits_are_the_stated_ones(
    rule: Rule, index: int, max_tries: int, window: timedelta
) -> None:
    assert rule.limits[index] == Limit(max_tries, window)


@pytest.mark.parametrize("rule, index, max_tries, window", STATED_LIMITS)
def test_one_try_more_waits_until_the_first_is_a_window_old(
    rule: Rule, index: int, max_tries: int, window: timedelta
) -> None:
    recent, first = full_count(rule, rule.limits[index])
    before_trickle = window - MICROSECOND if rule.trickle is None else window - 14 * MINUTE

    just_inside = policy.admit(recent, rule, now=first + before_trickle)
    just_outside = policy.admit(recent, rule, now=first + window)

    assert isinstance(just_inside, Throttled)
    assert isinstance(just_outside, Admitted)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.name)
def test_as_many_tries_at_one_moment_as_the_shortest_limit_allows_all_count(rule: Rule) -> None:
    recent = b""
    for _ in range(rule.limits[0].max_tries):
        recent = take(recent, rule, NOW)

    outcome = policy.admit(recent, rule, now=NOW)

    assert outcome == Throttled(rule.trickle or rule.limits[0].window)


@pytest.mark.parametrize("pause, admitted", [(MINUTE - MICROSECOND, False), (MINUTE, True)])
def test_once_strangers_are_too_many_they_share_one_try_a_minute(
    pause: timedelta, admitted: bool
) -> None:
    rule = RULES.password_strangers
    recent = b""
    for _ in range(100):
        recent = take(recent, rule, NOW)
    recent = take(recent, rule, NOW + MINUTE)

    outcome = policy.admit(recent, rule, now=NOW + MINUTE + pause)

    assert isinstance(outcome, Admitted) == admitted


def test_a_try_given_back_leaves_a_full_count_full() -> None:
    """The try that trickled through must not have pushed out one that still counts."""
    rule = RULES.password_strangers
    recent = b""
    for _ in range(100):
        recent = take(recent, rule, NOW)
    trickled = policy.admit(recent, rule, now=NOW + MINUTE)
    assert isinstance(trickled, Admitted)

    given_back = policy.without(trickled.recent, trickled.moment)

    assert given_back == recent


@given(rules, pauses)
def test_exactly_what_the_rules_allow_is_admitted(rule: Rule, pauses: list[timedelta]) -> None:
    """No window of any limit ever holds more than its tries, and nobody waits for nothing."""
    model, recent, now = Model(rule), b"", NOW

    for pause in pauses:
        now += pause
        outcome = policy.admit(recent, rule, now=now)
        assert isinstance(outcome, Admitted) == model.admits(now)
        if isinstance(outcome, Admitted):
            model.tries.append(now)
            recent = outcome.recent

    assert len(recent) <= 8 * (rule.longest.max_tries + 1)


@given(rules, pauses, st.data())
def test_tries_given_back_count_no_more(
    rule: Rule, pauses: list[timedelta], data: st.DataObject
) -> None:
    model, recent, now = Model(rule), b"", NOW

    for pause in pauses:
        now += pause
        outcome = policy.admit(recent, rule, now=now)
        assert isinstance(outcome, Admitted) == model.admits(now)
        if isinstance(outcome, Admitted) and data.draw(st.booleans()):
            rest = policy.without(outcome.recent, outcome.moment)
            assert rest is not None
            recent = rest
        elif isinstance(outcome, Admitted):
            model.tries.append(now)
            recent = outcome.recent


@given(rules, pauses)
def test_the_wait_that_is_told_is_the_one_that_is_needed(
    rule: Rule, pauses: list[timedelta]
) -> None:
    recent, now = b"", NOW

    for pause in pauses:
        now += pause
        outcome = policy.admit(recent, rule, now=now)
        if isinstance(outcome, Admitted):
            recent = outcome.recent
            continue
        then = now + outcome.retry_after
        assert isinstance(policy.admit(recent, rule, now=then - MICROSECOND), Throttled)
        assert isinstance(policy.admit(recent, rule, now=then), Admitted)


@given(rules, st.binary(max_size=1000))
def test_whatever_the_count_holds_the_wait_ends(rule: Rule, recent: bytes) -> None:
    outcome = policy.admit(recent, rule, now=NOW)
    healed = policy.repaired(recent, rule, now=NOW)

    if isinstance(outcome, Throttled):
        assert timedelta(0) < outcome.retry_after <= rule.longest.window
    later = NOW + rule.longest.window + CLOCK_SKEW
    assert isinstance(policy.admit(healed, rule, now=later), Admitted)


@given(rules, st.lists(moments, max_size=120))
def test_whatever_the_moments_the_wait_ends(rule: Rule, some: list[int]) -> None:
    recent = policy.pack(sorted(some, reverse=True))

    healed = policy.repaired(recent, rule, now=NOW)

    later = NOW + rule.longest.window + CLOCK_SKEW
    assert isinstance(policy.admit(healed, rule, now=later), Admitted)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize(
    "recent",
    [
        b"\x00",
        b"1234567",
        policy.pack([policy.moment_of(NOW)]) + b"\xff",
        policy.pack([policy.moment_of(NOW - HOUR), policy.moment_of(NOW)]),
        policy.pack([0, 2**64 - 1]),
    ],
)
def test_a_damaged_count_denies_for_its_longest_window_and_heals(rule: Rule, recent: bytes) -> None:
    healed = policy.repaired(recent, rule, now=NOW)

    assert policy.is_damaged(recent)
    assert not policy.is_damaged(healed)
    assert isinstance(policy.admit(recent, rule, now=NOW), Throttled)
    if rule.trickle is None:
        last_moment = NOW + rule.longest.window - MICROSECOND
        assert isinstance(policy.admit(healed, rule, now=last_moment), Throttled)
    assert isinstance(policy.admit(healed, rule, now=NOW + rule.longest.window), Admitted)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=365)])
def test_a_clock_that_was_set_back_locks_no_longer_than_the_longest_window(
    ahead: timedelta,
) -> None:
    rule = RULES.second_factor
    recent = b""
    for _ in range(5):
        recent = take(recent, rule, NOW + ahead)

    healed = policy.repaired(recent, rule, now=NOW)

    assert policy.admit(recent, rule, now=NOW) == Throttled(timedelta(minutes=5))
    assert isinstance(policy.admit(healed, rule, now=NOW + timedelta(minutes=5)), Admitted)


@pytest.mark.parametrize("ahead, is_kept", [(CLOCK_SKEW, True), (CLOCK_SKEW + MICROSECOND, False)])
def test_the_moments_of_another_clock_a_little_ahead_stay_as_they_are(
    ahead: timedelta, is_kept: bool
) -> None:
    """Who made them must find them to give them back."""
    recent = policy.pack([policy.moment_of(NOW + ahead)])

    assert (policy.repaired(recent, RULES.second_factor, now=NOW) == recent) == is_kept


def test_a_try_that_was_overtaken_stays_in_order() -> None:
    rule = RULES.second_factor
    overtaking = take(b"", rule, NOW + timedelta(seconds=1))

    recent = take(overtaking, rule, NOW)

    assert not policy.is_damaged(recent)
    assert policy.unpack(recent) == [policy.moment_of(NOW + timedelta(seconds=1))] * 2


@pytest.mark.parametrize(
    "now", [datetime(1960, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)]
)
def test_a_clock_of_before_counting_began_still_counts(now: datetime) -> None:
    rule = RULES.second_factor
    recent = b""
    for _ in range(5):
        recent = take(recent, rule, now)

    assert isinstance(policy.admit(recent, rule, now=now), Throttled)


@given(moments, moments)
def test_bytes_compare_as_moments_do(one: int, other: int) -> None:
    assert (policy.pack([one]) < policy.pack([other])) == (one < other)


@given(st.lists(moments))
def test_packed_moments_are_unpacked(some: list[int]) -> None:
    assert policy.unpack(policy.pack(some)) == some


def test_of_equal_moments_one_is_taken_out() -> None:
    assert policy.without(policy.pack([3, 2, 2, 1]), 2) == policy.pack([3, 2, 1])


def test_a_moment_that_is_not_there_takes_nothing_out() -> None:
    assert policy.without(policy.pack([3, 1]), 2) is None


@given(st.sampled_from(ALL_RULES), st.timedeltas(-1000 * HOUR, 10**6 * HOUR))
def test_a_count_expires_in_a_full_hour_when_it_says_nothing_any_more(
    rule: Rule, since: timedelta
) -> None:
    now = NOW + since

    end = policy.expires_at(rule, now=now)

    assert timedelta(0) <= end - (now + rule.longest.window) < HOUR
    assert (end.minute, end.second, end.microsecond) == (0, 0, 0)


@pytest.mark.parametrize(
    "limits",
    [
        (),
        (Limit(0, MINUTE),),
        (Limit(1001, MINUTE),),
        (Limit(1, timedelta(0)),),
        (Limit(5, MINUTE), Limit(5, HOUR)),
        (Limit(5, MINUTE), Limit(4, HOUR)),
        (Limit(5, HOUR), Limit(6, HOUR)),
        (Limit(5, HOUR), Limit(6, MINUTE)),
        tuple(Limit(number, number * MINUTE) for number in range(1, 5)),
    ],
)
def test_limits_that_cannot_be_counted_are_refused(limits: tuple[Limit, ...]) -> None:
    with pytest.raises(ConfigurationError, match="throttle mine"):
        Rule("mine", limits)


def counted(familiar: Familiar, browser: bytes | None) -> tuple[Counted, ...]:
    return RULES.password_rules(
        network=b"n", account_network=b"an", strangers=b"s", browser=browser, familiar=familiar
    )


NETWORK = Counted(RULES.password_network, b"n")
ACCOUNT_NETWORK = Counted(RULES.password_account_network, b"an")
STRANGERS = Counted(RULES.password_strangers, b"s")
KNOWN_BROWSER = Counted(RULES.password_known_browser, b"b")


@pytest.mark.parametrize("browser", [None, b"b"])
def test_a_stranger_is_counted_by_network_first(browser: bytes | None) -> None:
    familiar = Familiar(network=False, browser=False)

    assert counted(familiar, browser) == (NETWORK, ACCOUNT_NETWORK, STRANGERS)


@pytest.mark.parametrize("browser", [None, b"b"])
def test_a_network_of_a_full_sign_in_does_not_belong_to_the_strangers(
    browser: bytes | None,
) -> None:
    assert counted(Familiar(network=True, browser=False), browser) == (NETWORK, ACCOUNT_NETWORK)


@pytest.mark.parametrize("network", [False, True])
def test_a_known_browser_has_a_count_of_its_own_instead_of_all_three(network: bool) -> None:
    assert counted(Familiar(network=network, browser=True), b"b") == (KNOWN_BROWSER,)


def test_a_browser_that_sent_nothing_is_not_known() -> None:
    assert counted(Familiar(network=False, browser=True), None)[0] == NETWORK
