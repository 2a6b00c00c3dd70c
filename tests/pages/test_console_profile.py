"""Name, address and the reason of an action: what the console lets an admin write."""

import json

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.pages.administered import enroll, signed_in
from tests.pages.browser import Browser
from tests.support.house import OPERATOR, House, sign_in
from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import EventType


def path_of(account: Account, action: str = "") -> str:
    return f"/admin/accounts/{account.subject}" + (f"/{action}" if action else "")


@pytest.fixture
def alice(sqlite_house: House, console: Browser) -> Account:
    return sqlite_house.create("alice", full_name="Alice Archer")


def test_a_name_is_changed_and_nobody_is_signed_out(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    sign_in(client, "alice")
    console.open(path_of(alice, "name"))
    assert console.form("/name").fields["full_name"] == "Alice Archer"

    console.send("/name", full_name="  Alice B. Archer ")

    assert sqlite_house.account("alice").full_name == "Alice B. Archer"
    assert "The name is changed." in console.text
    assert sqlite_house.administration.find_sessions(alice, now=sqlite_house.now)
    console.open(path_of(alice, "name"))
    refused = console.send("/name", full_name="x" * 256)
    assert refused.status_code == 400
    assert sqlite_house.account("alice").full_name == "Alice B. Archer"
    console.send("/name", full_name="")
    assert sqlite_house.account("alice").full_name is None


def test_another_address_waits_a_day_and_can_be_called_off(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    console.open(path_of(alice, "email"))
    console.send("/email", email="alice@new.example")

    assert "Another e-mail address waits." in console.text
    assert "alice@new.example" in console.text
    assert sqlite_house.account("alice").email == "alice@example.com"
    assert console.open(path_of(alice, "email")).url.path == path_of(alice)  # one at a time
    console.open(path_of(alice, "cancel_email"))
    console.send("/cancel_email")
    assert "The new address is called off." in console.text
    sqlite_house.clock.advance(hours=25)
    assert sqlite_house.runtime.staged_emails.work(now=sqlite_house.now) == 0
    assert sqlite_house.account("alice").email == "alice@example.com"


def test_an_address_that_was_not_called_off_counts_after_a_day(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    console.open(path_of(alice, "email"))
    console.send("/email", email="alice@new.example")
    sqlite_house.clock.advance(hours=24)

    sqlite_house.runtime.staged_emails.work(now=sqlite_house.now)

    account = sqlite_house.account("alice")
    assert (account.email, account.is_email_verified) == ("alice@new.example", False)


@pytest.mark.parametrize(
    "typed", ["", "alice", "a@", "x" * 400 + "@example.com", "a\x00@b.example"]
)
def test_what_is_no_address_is_said(
    sqlite_house: House, console: Browser, alice: Account, typed: str
) -> None:
    console.open(path_of(alice, "email"))

    answered = console.send("/email", email=typed)

    assert answered.status_code == 400
    assert "That is no e-mail address that works here." in console.text
    assert sqlite_house.runtime.staged_emails.find(alice, now=sqlite_house.now) is None


def test_the_reason_is_kept_for_admins_and_not_told_to_the_account(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    console.open(path_of(alice, "unlock"))
    console.send("/unlock", why="  Called the desk, <b>2 May</b> ")

    [event] = sqlite_house.database.reading(
        audit.list_events, limit=5, type_=EventType.ACCOUNT_UNLOCKED
    )
    assert json.loads(event.details) == {"note": "Called the desk, <b>2 May</b>"}
    console.open(f"/admin/events?user={alice.subject}&type=account.unlocked")
    assert "Called the desk" in console.text
    assert "<b>2 May" not in console.page.text
    bearer = {"Authorization": f"Bearer {sign_in(client, 'alice')['access_token']}"}
    own = client.get("/api/events", headers=bearer)
    assert "account.unlocked" in own.text
    assert "Called" not in own.text


@pytest.mark.parametrize("why", ["x" * 201, "one\nline", "a\x00b"])
def test_a_reason_that_cannot_be_kept_stops_the_action(
    sqlite_house: House, console: Browser, alice: Account, why: str
) -> None:
    console.open(path_of(alice, "disable"))

    answered = console.send("/disable", why=why)

    assert answered.status_code == 400
    assert "Nothing was done." in console.text
    assert not sqlite_house.account("alice").is_disabled


def test_consequences_count_sessions_and_remembered_devices(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    phone = enroll(sqlite_house, "alice")
    hers = Browser(sqlite_house.client())
    hers.sign_in("alice")
    hers.send("/login/totp", answer=phone.code(sqlite_house.now), trust_device="yes")

    console.open(path_of(alice, "disable"))
    assert "Ends 1 session. Forgets 1 remembered device. Nobody can sign in." in console.text
    console.send("/disable")

    console.open(path_of(alice))
    assert "Signed in nowhere, and no device is remembered." in console.text


def test_the_page_says_why_a_policy_holds_and_who_has_to_agree(
    sqlite_house: House, console: Browser
) -> None:
    sqlite_house.create("second", roles=("admin",))
    phone = enroll(sqlite_house, "second")
    second = sqlite_house.account("second")
    console.open("/admin/policies/set")
    console.send("/policies/set", kind="role", role="admin", acr="aal2", since="", do="look")
    console.send("/policies/set", kind="role", role="admin", acr="aal2", since="", do="save")
    console.open(path_of(second))
    assert "Why? Everyone with the role admin : Two factors" in console.text.replace(" :", " :")

    console.open(path_of(second, "reset"))
    console.send("/reset")

    assert "Approve the reset" in console.text
    assert "Needs a second admin" in console.text
    assert path_of(second, "approve_reset") not in console.page.text
    assert signed_in(sqlite_house, "second", phone).open("/admin").status_code == 200


def test_who_goes_on_guessing_is_told_of_and_stopped_codes_are_shown(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    enroll(sqlite_house, "alice")
    guesser = Browser(sqlite_house.client())
    guesser.sign_in("alice")
    guesser.send("/login/totp", answer="000000")

    def tries(number: int) -> str:
        with sqlite_house.database.engine.begin() as tx:
            sql = "UPDATE throttle SET in_a_row = :number WHERE rule = 'second_factor'"
            tx.execute(text(sql), {"number": number})
        console.open(path_of(alice))
        return console.text

    assert "Someone may know this password." not in tries(9)
    known = tries(10)
    stopped = tries(100)
    sqlite_house.administration.unlock(alice, OPERATOR, now=sqlite_house.now)
    console.open(path_of(alice))

    assert "10 wrong answers to the second step in a row. At 100" in known
    assert "Talk to Alice Archer" in known
    assert "Codes are stopped" not in known
    assert "100 wrong answers to the second step in a row. Codes of the app" in stopped
    assert "Phone Stopped" in stopped
    assert "Someone may know this password." not in console.text
