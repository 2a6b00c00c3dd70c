"""Of all policies that apply, the strictest wins: pure rules."""

from datetime import UTC, datetime, timedelta

import pytest

from twinlock.core.proof import Acr, SubjectId
from twinlock.policies.policy import Kind, Policy, demands_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON = NOW + timedelta(days=7)
JOHN = SubjectId("a" * 32)

EVERYONE = Policy(Kind.EVERYONE, "", Acr.AAL2, NOW)
STAFF = Policy(Kind.ROLE, "staff", Acr.PHR, SOON)
ADMINS = Policy(Kind.ROLE, "admin", Acr.AAL2, NOW, trusts_devices=True)
MINE = Policy(Kind.ACCOUNT, JOHN, Acr.AAL1, NOW, trusts_devices=True)


def test_without_a_policy_nothing_is_demanded() -> None:
    demands = demands_on((), JOHN, ["user"], now=NOW)

    assert (demands.acr, demands.due, demands.second_factor) == (Acr.AAL1, None, False)
    assert demands.trusts_devices
    assert demands.may_enroll("totp")


def test_the_strictest_counts_now_and_the_next_reminds() -> None:
    demands = demands_on((STAFF, EVERYONE), JOHN, ["staff"], now=NOW)

    assert (demands.acr, demands.next_acr, demands.due) == (Acr.AAL2, Acr.PHR, SOON)
    assert demands.reminder(Acr.AAL2) == SOON
    assert demands.reminder(Acr.PHR) is None
    assert demands.policies == (EVERYONE, STAFF)


def test_a_policy_holds_from_its_very_moment_on() -> None:
    assert demands_on((STAFF,), JOHN, ["staff"], now=SOON).acr is Acr.PHR
    before = SOON - timedelta(microseconds=1)
    assert demands_on((STAFF,), JOHN, ["staff"], now=before).acr is Acr.AAL1


def test_a_weaker_policy_for_one_account_loosens_nothing() -> None:
    assert demands_on((EVERYONE, MINE), JOHN, [], now=NOW).acr is Acr.AAL2


def test_a_policy_is_for_those_it_names() -> None:
    assert demands_on((STAFF, MINE), SubjectId("b" * 32), ["clerk"], now=SOON).policies == ()


@pytest.mark.parametrize(
    "policies, roles, trusted",
    [
        ((), [], True),
        ((), ["admin"], False),
        ((EVERYONE,), [], False),
        ((ADMINS,), ["admin"], True),
        ((ADMINS, EVERYONE), ["admin"], False),
        ((MINE,), ["admin"], True),
        ((MINE, EVERYONE), [], False),
        ((STAFF,), ["staff"], True),
    ],
)
def test_devices_are_trusted_where_no_policy_in_force_forbids_them(
    policies: tuple[Policy, ...], roles: list[str], trusted: bool
) -> None:
    """For admins by name only; a policy whose date is to come forbids nothing yet."""
    assert demands_on(policies, JOHN, roles, now=NOW).trusts_devices is trusted


def test_methods_are_what_all_allow_or_what_the_closest_allows() -> None:
    apps = Policy(Kind.EVERYONE, "", Acr.AAL2, NOW, ("totp", "passkey"))
    keys = Policy(Kind.ROLE, "staff", Acr.AAL2, NOW, ("passkey",))
    mine = Policy(Kind.ACCOUNT, JOHN, Acr.AAL2, NOW, ("totp",))

    assert demands_on((apps, keys), JOHN, ["staff"], now=NOW).methods == ("passkey",)
    assert demands_on((apps, keys, mine), JOHN, ["staff"], now=NOW).methods == ("totp",)
