"""Finding accounts by name and by state, and events by where they came from."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.pages.administered import enroll
from tests.pages.browser import Browser
from tests.support.house import OPERATOR, House
from twinlock.accounts.names import name_key
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.proof import Acr
from twinlock.flows.account_listing import Wanted, find_accounts
from twinlock.flows.auditing import EventFilter, find_events
from twinlock.policies.policy import Kind, Policy


def found(house: House, **wanted: str) -> list[str]:
    parts = house.runtime.parts
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = find_accounts(parts, Wanted(**wanted), cursor=cursor, limit=2)
        names += [one.account.username for one in page.found]
        cursor = page.next_cursor
        if cursor is None:
            return names


@pytest.mark.parametrize(
    "typed",
    ["Zoë", "ZOE\u0308 ", "ｚｏë", "zoë ángström"],
)
def test_a_name_is_found_by_its_beginning_however_it_is_typed(
    sqlite_house: House, console: Browser, typed: str
) -> None:
    sqlite_house.create("one", None, full_name="Zoë Ángström")
    sqlite_house.create("two", None, full_name="Ángström, Zoë")

    assert found(sqlite_house, search=typed) == ["one"]
    console.open(f"/admin/accounts?q={typed}")
    assert "Zoë Ángström" in console.text


def test_each_account_is_found_once_and_in_order(sqlite_house: House, console: Browser) -> None:
    house = sqlite_house
    for name, email, full_name in (
        ("kim", "kim@example.com", "Kim One"),
        ("two", "kim.two@example.com", "Kim Two"),
        ("three", "three@example.com", "Kim Three"),
        ("four", None, "kim four"),
        ("five", None, "Kimberly Five"),
        ("six", None, None),
    ):
        house.create(name, None, email=email, full_name=full_name)

    assert found(house, search="kim") == ["kim", "two", "four", "three", "five"]


def test_a_changed_name_is_found_and_the_old_one_is_not(
    sqlite_house: House, console: Browser
) -> None:
    account = sqlite_house.create("one", None, full_name="Old Name")
    sqlite_house.administration.change(
        account, OPERATOR, full_name="Newer Name", now=sqlite_house.now
    )

    assert found(sqlite_house, search="old") == []
    assert found(sqlite_house, search="newer") == ["one"]


@pytest.mark.parametrize("typed", ["%", "_", "\\", "'", "\U0010ffff", "x" * 320, "a\u202eb"])
def test_odd_searches_find_nobody_and_break_nothing(
    sqlite_house: House, console: Browser, typed: str
) -> None:
    sqlite_house.create("one", None, full_name="Any Name")

    assert console.client.get("/admin/accounts", params={"q": typed}).status_code == 200
    assert found(sqlite_house, search=typed) == []


def test_a_long_name_is_found_by_its_beginning(sqlite_house: House, console: Browser) -> None:
    name = "\ufdfa" * 255  # one character that folds into eighteen
    sqlite_house.create("one", None, full_name=name)

    assert len(name_key(name) or "") == 255
    assert found(sqlite_house, search="\ufdfa" * 3) == ["one"]


def test_who_is_behind_a_policy_that_holds_is_found(sqlite_house: House, console: Browser) -> None:
    house = sqlite_house
    for name, roles in (("plain", ("staff",)), ("safe", ("staff",)), ("other", ())):
        house.create(name, None, roles=roles)
    enroll(house, "safe")
    later = Policy(Kind.EVERYONE, "", Acr.AAL2, house.now + timedelta(days=9))
    house.policy_administration.set_policy(later, OPERATOR, now=house.now)
    console.open("/admin/accounts?state=behind_policy")
    assert "No account matches" in console.text

    policy = Policy(Kind.ROLE, "staff", Acr.AAL2, house.now)
    house.policy_administration.set_policy(policy, OPERATOR, now=house.now)

    console.open("/admin/accounts?state=behind_policy")
    assert [name in console.text for name in ("plain", "safe", "other")] == [True, False, False]
    phr = Policy(Kind.ROLE, "staff", Acr.PHR, house.now)
    house.policy_administration.set_policy(phr, OPERATOR, now=house.now)
    console.open("/admin/accounts?state=behind_policy")
    assert [name in console.text for name in ("plain", "safe", "other")] == [True, True, False]


def test_whose_codes_are_stopped_is_found(sqlite_house: House, console: Browser) -> None:
    house = sqlite_house
    guesser = Browser(house.client())
    for name in ("calm", "stopped"):
        house.create(name)
        enroll(house, name)
        guesser.sign_in(name)
        guesser.send("/login/totp", answer="000000")
    with house.database.engine.begin() as tx:
        tx.execute(text("UPDATE throttle SET in_a_row = 99 WHERE rule = 'second_factor'"))
    console.open("/admin/accounts?state=codes_stopped")
    assert "No account matches" in console.text
    guesser.sign_in("stopped")
    guesser.send("/login/totp", answer="000000")

    console.open("/admin/accounts?state=codes_stopped")

    assert "stopped@example.com" in console.text
    assert "calm@example.com" not in console.text
    house.administration.unlock(house.account("stopped"), OPERATOR, now=house.now)
    console.open("/admin/accounts?state=codes_stopped")
    assert "No account matches" in console.text


def _from(house: House, ip: str, number: int = 1) -> None:
    def write(tx: object) -> None:
        for _ in range(number):
            event = Event(EventType.LOGIN_SUCCEEDED, house.now, Caller(ip, "Mozilla"))
            audit.record(tx, event)  # type: ignore[arg-type]

    house.database.transaction(write)


def test_events_are_found_by_where_they_came_from(sqlite_house: House, console: Browser) -> None:
    for ip in ("198.51.100.7", "198.51.100.70", "2001:db8::1"):
        _from(sqlite_house, ip)

    def shown(ip: str) -> list[str]:
        console.open("/admin/events?ip=" + ip)
        lines = console.client.get(f"/admin/events/export?format=csv&ip={ip}").text
        assert console.form("/admin/events").fields["ip"] == ip
        return sorted(line.split(",")[8] for line in lines.splitlines()[1:])

    assert shown("198.51.100.7") == ["198.51.100.7"]
    assert "198.51.100.70" not in console.text
    assert shown("198.51.100.0/24") == ["198.51.100.7", "198.51.100.70"]
    assert shown("2001:db8::/32") == ["2001:db8::1"]
    assert shown("2001:0db8:0::1") == ["2001:db8::1"]
    console.open("/admin/events?ip=203.0.113.9")
    assert "No events match." in console.text
    console.open("/admin/events?ip=nonsense")
    assert console.form("/admin/events").fields["ip"] == ""


def test_a_search_for_an_address_among_many_stops_and_goes_on(
    sqlite_house: House, console: Browser
) -> None:
    _from(sqlite_house, "198.51.100.7")
    sqlite_house.clock.advance(seconds=1)
    _from(sqlite_house, "192.0.2.1", 2_100)

    console.open("/admin/events?ip=198.51.100.7")
    assert "Looked at 2,000 events so far; more follow." in console.text
    assert "No events match so far." in console.text
    [further] = [link for link in console.read().links if "cursor=" in link]
    console.open(further)

    assert "198.51.100.7" in console.text
    everything = find_events(sqlite_house.runtime.parts, EventFilter(), limit=5)
    assert everything is not None
    assert everything.looked_at is None
