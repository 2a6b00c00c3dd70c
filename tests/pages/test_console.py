"""The admin console: who gets in, what it shows, and what it never shows."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import Browser
from tests.support.house import OPERATOR, PASSWORD, Enrolled, House, token
from twinlock.flows import account_listing, tallying
from twinlock.flows.account_listing import Wanted, find_accounts
from twinlock.testing.authenticator import FakeAuthenticator


def test_who_is_no_admin_is_told_so(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)

    for path in ("/admin", "/admin/accounts", f"/admin/accounts/{enrolled.account.subject}"):
        page = browser.open(path)
        assert page.status_code == 403, path
        assert "This page is not for your account" in browser.text
        assert "John Doe" in browser.text
    assert "/admin" not in browser.open("/account").text


def test_nobody_is_led_to_the_sign_in_and_back(
    sqlite_house: House, client: TestClient, root: FakeAuthenticator
) -> None:
    browser = Browser(sqlite_house.client())
    browser.open("/admin/accounts?q=jo")
    assert browser.path.startswith("/login?next=")

    browser.send("/login", username="root", password=PASSWORD)
    browser.send("/login/totp", answer=root.code(sqlite_house.now))

    assert browser.path == "/admin/accounts?q=jo"


def test_a_stale_admin_proves_again_and_comes_back(
    sqlite_house: House, console: Browser, root: FakeAuthenticator
) -> None:
    sqlite_house.clock.advance(minutes=9, seconds=59)
    assert console.open("/admin").status_code == 200
    sqlite_house.clock.advance(seconds=1, microseconds=1)

    console.open("/admin/accounts?q=ro&state=active")
    assert console.path.startswith("/reauthenticate?next=")
    console.send("/reauthenticate/totp", answer=root.code(sqlite_house.now))

    assert console.path == "/admin/accounts?q=ro&state=active"
    assert "Ana Ruiz" in console.text


def test_an_admin_without_second_factor_is_led_to_one(
    sqlite_house: House, client: TestClient
) -> None:
    sqlite_house.create("weak", roles=("admin",))
    browser = Browser(sqlite_house.client())
    browser.sign_in("weak")

    page = browser.open("/admin")

    assert page.status_code == 403
    assert "Set up a second factor first" in browser.text
    assert "/factors/new?next=/admin" in browser.read().links


def test_a_demoted_admin_is_out_at_once(
    sqlite_house: House, console: Browser, root: FakeAuthenticator
) -> None:
    sqlite_house.create("second", roles=("admin",))
    assert console.open("/admin").status_code == 200

    sqlite_house.administration.change(
        sqlite_house.account("root"), OPERATOR, roles=(), now=sqlite_house.now
    )

    console.open("/admin")
    assert console.path.startswith("/login")


def test_the_overview_counts_and_says_what_needs_attention(
    sqlite_house: House, console: Browser, client: TestClient
) -> None:
    for name in ("alice", "bob"):
        sqlite_house.create(name)
    sqlite_house.create("weak", roles=("admin",))
    token(client, "alice", "wrong password")
    token(client, "alice", PASSWORD)

    console.open("/admin")

    assert "Accounts 4 " in console.text
    assert "25%" in console.text
    assert "1 admin has no second factor" in console.text
    assert "weak" in console.text
    assert "Denials peaked on" in console.text
    assert "Show the numbers as a table" in console.text


def test_hours_are_counted_once_and_agree_with_the_events(
    sqlite_house: House, client: TestClient, console: Browser
) -> None:
    parts = sqlite_house.runtime.parts
    before = sqlite_house.runtime.console.look(now=sqlite_house.now)[0]
    sqlite_house.clock.advance(days=3)
    sqlite_house.create("alice")
    for _ in range(3):
        token(client, "alice", PASSWORD)
    token(client, "alice", "wrong password")
    live = sqlite_house.runtime.console.look(now=sqlite_house.now)[0]
    sqlite_house.clock.advance(hours=2)

    first = tallying.count_hours(parts, now=sqlite_house.now)
    second = tallying.count_hours(parts, now=sqlite_house.now)
    counted = sqlite_house.runtime.console.look(now=sqlite_house.now)[0]

    assert (first > 70, second) == (True, 0)
    assert (live.signed_in - before.signed_in, live.denied - before.denied) == (3, 1)
    assert (counted.signed_in, counted.denied) == (live.signed_in, live.denied)
    assert sum(day.signed_in for day in counted.days) == counted.signed_in
    token(client, "alice", PASSWORD)
    again = sqlite_house.runtime.console.look(now=sqlite_house.now)[0]
    assert again.signed_in == counted.signed_in + 1


def test_accounts_are_found_and_filtered(
    sqlite_house: House, console: Browser, client: TestClient
) -> None:
    sqlite_house.create("alice", roles=("editor",))
    sqlite_house.create("alfred")
    bob = sqlite_house.create("bob", email="alpha@example.com")
    sqlite_house.administration.disable(bob, OPERATOR, now=sqlite_house.now)

    def names(query: str) -> list[str]:
        console.open(f"/admin/accounts?{query}")
        return [
            name for name in ("root", "alice", "alfred", "bob") if f">{name}<" in console.page.text
        ]

    assert names("") == ["root", "alice", "alfred", "bob"]
    assert names("q=al") == ["alice", "alfred", "bob"]
    assert names("q=al&state=disabled") == ["bob"]
    assert names("factor=totp") == ["root"]
    assert names("factor=none&state=active") == ["alice", "alfred"]
    assert names("role=admin") == ["root"]
    assert names("role=editor") == ["alice"]
    assert names("q=zz") == []
    assert "No account begins with “zz”" in console.text
    assert names("factor=nonsense&state=%00&cursor=made-up") == ["root", "alice", "alfred", "bob"]
    assert "The list has moved on" in console.text


def test_a_list_is_paged_and_comes_to_its_end(sqlite_house: House, console: Browser) -> None:
    for number in range(60):
        sqlite_house.create(f"user{number:03}")

    console.open("/admin/accounts?q=user&factor=none")
    following = next(link for link in console.read().links if "cursor=" in link)
    first = console.page.text
    console.open(following)

    assert "50 accounts on this page, more follow." in first
    assert "10 accounts on this page, no more follow." in console.text
    shown = [n for n in range(60) if f"user{n:03}<" in first + console.page.text]
    assert shown == list(range(60))


def test_a_search_for_few_among_many_stops_and_goes_on(
    sqlite_house: House, console: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_listing, "_CHUNK", 3)
    monkeypatch.setattr(account_listing, "_CHUNKS", 2)
    for number in range(20):
        sqlite_house.create(f"user{number:03}", roles=("rare",) if number == 19 else ())

    console.open("/admin/accounts?role=rare")
    looked = "Looked at 6 accounts so far" in console.text
    pages = 1
    while ">user019<" not in console.page.text:
        console.open(next(link for link in console.read().links if "cursor=" in link))
        pages += 1
        assert pages < 9

    assert looked
    found = find_accounts(sqlite_house.runtime.parts, Wanted(role="rare"), cursor=None, limit=50)
    assert found.looked_at == 6


def test_one_account_shows_everything_but_secrets(
    sqlite_house: House, console: Browser, enrolled: Enrolled
) -> None:
    john = sqlite_house.account()
    own = Browser(sqlite_house.client())
    own.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"
    own.sign_in_fully(sqlite_house, enrolled)

    page = console.open(f"/admin/accounts/{john.subject}")

    for words in ("johndoe@example.com", "Phone", "10 of 10 codes left", "Firefox on Windows",
                  "Signed in", "A password is enough"):  # fmt: skip
        assert words in console.text, words
    secrets = [*enrolled.recovery_codes, own.client.cookies["__Host-twinlock"], PASSWORD]
    assert john.password_hash is not None
    for secret in (*secrets, john.password_hash, john.password_hash[-20:]):
        assert secret not in page.text


@pytest.mark.parametrize("user_id", ["0" * 32, "nobody", "..%2f", "%00", "é" * 32])
def test_an_account_that_is_none_is_not_there(console: Browser, user_id: str) -> None:
    assert console.open(f"/admin/accounts/{user_id}").status_code == 404


def test_names_and_browsers_are_shown_as_text(
    sqlite_house: House, console: Browser, client: TestClient
) -> None:
    evil = "<script>alert(1)</script>"
    alice = sqlite_house.create("alice", full_name=f'"><img src=x onerror=alert(1)>{evil}')
    client.post(
        "/token",
        data={"grant_type": "password", "username": "alice", "password": PASSWORD},
        headers={"User-Agent": evil},
    )

    for path in ("/admin", f"/admin/accounts?q={evil}", f"/admin/accounts/{alice.subject}"):
        page = console.open(path)
        assert page.status_code == 200
        assert evil not in page.text
        assert "<img" not in page.text
        assert not console.read().inline


def test_a_population_too_large_to_count_is_as_it_was_counted_last(
    sqlite_house: House, console: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinlock.flows.figures.COUNTED_AT_ONCE", 2)
    for number in range(3):
        sqlite_house.create(f"user{number}")
    console.open("/admin")
    assert "more than 2" in console.text

    sqlite_house.clock.advance(minutes=9)
    monkeypatch.setattr("twinlock.flows.tallying.SETTLED_AFTER", timedelta(hours=-1))
    tallying.count_hours(sqlite_house.runtime.parts, now=sqlite_house.now)
    console.open("/admin")

    assert "Accounts 4 " in console.text
    assert "counted" in console.text
