"""Who would be stopped by a policy's date is reminded by mail, once for each step."""

import json
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text

from tests.support.house import OPERATOR, House
from twinlock.core.proof import Acr
from twinlock.flows import reminders
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.mail import MailTrap

DUE = "Twinlock: set up a second factor before "


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reminders, "BATCH", 2)


def demand(house: House, *, days: float, **given: Any) -> None:
    since = house.now + timedelta(days=days)
    given = {"kind": Kind.EVERYONE, "name": "", "acr": Acr.AAL2, "since": since, **given}
    new = Policy(**given)
    assert house.policy_administration.set_policy(new, OPERATOR, now=house.now) == new


def reminded(house: House, trap: MailTrap) -> dict[str, int]:
    """Run the upkeep, and return how many reminders each account has got so far."""
    house.runtime.upkeep.work()
    counts: dict[str, int] = {}
    for message in trap.messages():
        if "set up a" in str(message["Subject"]):
            name = str(message["To"]).partition("@")[0]
            counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.mark.usefixtures("small_batches")
def test_who_lacks_something_is_reminded_a_week_and_a_day_before(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    for n in range(5):
        house.create(f"user{n}")
    house.enroll(client, "user4")
    house.create("gone", is_disabled=True)
    house.create("unknown", is_email_verified=False)
    demand(house, days=8)

    assert reminded(house, trap) == {}
    house.clock.advance(days=1)
    week = {f"user{n}": 1 for n in range(4)}
    assert reminded(house, trap) == week
    assert reminded(house, trap) == week  # once
    assert any(str(one["Subject"]).startswith(DUE) for one in trap.messages())
    house.clock.advance(days=6)
    both = {f"user{n}": 2 for n in range(4)}
    assert reminded(house, trap) == both
    house.clock.advance(days=2)
    assert reminded(house, trap) == both


def test_a_policy_set_late_reminds_once(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    demand(house, days=0.5)

    assert reminded(house, trap) == {"johndoe": 1}
    house.clock.advance(hours=1)
    assert reminded(house, trap) == {"johndoe": 1}


def test_only_those_are_reminded_whom_the_policy_names(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create("one", roles=("staff",))
    house.create("two")
    demand(house, days=5, kind=Kind.ROLE, name="staff")

    assert reminded(house, trap) == {"one": 1}


def test_another_date_begins_anew(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    demand(house, days=5)
    assert reminded(house, trap) == {"johndoe": 1}
    demand(house, days=6)

    assert reminded(house, trap) == {"johndoe": 2}


def test_a_policy_that_does_not_remind_mails_nobody(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create("one", roles=("staff",))
    house.create("two")
    demand(house, days=5, reminds=False)

    assert reminded(house, trap) == {}
    due = house.now + timedelta(days=5)
    demand(house, days=0, since=due, kind=Kind.ROLE, name="staff")  # of the same date, and reminds
    assert reminded(house, trap) == {"one": 1}
    house.clock.advance(days=4.5)
    assert reminded(house, trap) == {"one": 2}


def test_a_policy_of_an_earlier_release_reminds(house: House) -> None:
    demand(house, days=5)
    database, policies = house.database, house.runtime.parts.policies

    def written_long_ago(tx: Connection) -> None:
        document = tx.execute(text("SELECT document FROM policy")).scalar_one()
        facts = json.loads(document)
        del facts[0]["reminds"]
        old = json.dumps(facts, sort_keys=True)
        seal = house.runtime.parts.keyring.mac("policy", old, "1")
        sql = "UPDATE policy SET document = :old, seal = :seal"
        tx.execute(text(sql), {"old": old, "seal": seal})

    database.transaction(written_long_ago)

    [one] = database.reading(policies.read)
    assert one.reminds
