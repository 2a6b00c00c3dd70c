"""What an admin does on the console, from the page to the row; and what nobody gets done there."""

import csv
import io
import json

import pytest
from fastapi.testclient import TestClient

from tests.pages.administered import enroll, signed_in
from tests.pages.browser import Browser
from tests.support.house import BASE_URL, OPERATOR, PASSWORD, House, sign_in, token
from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.testing.authenticator import FakeAuthenticator

OWN = {"Origin": BASE_URL}


def path_of(account: Account, action: str = "") -> str:
    return f"/admin/accounts/{account.subject}" + (f"/{action}" if action else "")


def happened(house: House, type_: EventType, account: Account | None = None) -> list[str]:
    """Return who did it, newest first."""
    rows = house.database.reading(
        audit.list_events, limit=10, type_=type_, subject=account.subject if account else None
    )
    return [row.actor for row in rows]


@pytest.fixture
def alice(sqlite_house: House, console: Browser) -> Account:
    """An account without anything special."""
    return sqlite_house.create("alice", full_name="Alice Archer")


def test_an_account_is_disabled_and_enabled_again(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    sign_in(client, "alice")
    console.open(path_of(alice))
    assert "Ends 1 session. Nobody can sign in." in console.text

    console.open(path_of(alice, "disable"))
    assert "Disable Alice Archer?" in console.text
    console.send("/disable")

    assert console.path == path_of(alice)
    assert "The account is disabled. You can enable it again below." in console.text
    assert sqlite_house.account("alice").is_disabled
    assert token(client, "alice", PASSWORD).status_code == 400
    root = sqlite_house.account("root")
    assert happened(sqlite_house, EventType.ACCOUNT_DISABLED, alice) == [f"admin:{root.subject}"]
    console.open(path_of(alice, "enable"))
    console.send("/enable")
    assert not sqlite_house.account("alice").is_disabled
    sign_in(client, "alice")


def test_sessions_end_one_by_one_and_all_at_once(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    for _ in range(3):
        sign_in(client, "alice")
    console.open(path_of(alice))
    console.send("/sessions/")
    assert "That session is signed out." in console.text
    left = sqlite_house.administration.find_sessions(alice, now=sqlite_house.now)
    console.open(path_of(alice, "end_sessions"))
    assert "Ends 2 sessions." in console.text

    console.send("/end_sessions")

    assert len(left) == 2
    assert not sqlite_house.administration.find_sessions(alice, now=sqlite_house.now)


def test_a_session_of_another_account_does_not_end(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    bob = sqlite_house.create("bob")
    sign_in(client, "bob")
    [his] = sqlite_house.administration.find_sessions(bob, now=sqlite_house.now)
    csrf = console.form("/logout").fields["csrf"]

    console.client.post(path_of(alice, f"sessions/{his.id}/end"), data={"csrf": csrf}, headers=OWN)

    assert sqlite_house.administration.find_sessions(bob, now=sqlite_house.now)


def test_wrong_tries_are_forgotten(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    console.open(path_of(alice, "unlock"))
    console.send("/unlock")

    assert "The account is unlocked." in console.text
    assert len(happened(sqlite_house, EventType.ACCOUNT_UNLOCKED, alice)) == 1


def test_a_reset_waits_and_is_called_off(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    enroll(sqlite_house, "alice")
    console.open(path_of(alice, "reset"))
    assert "After 24 hours" in console.text
    console.send("/reset")
    assert "A reset of the second factor waits." in console.text
    assert "A reset" in console.text
    console.open("/admin")
    assert "1 reset of a second factor waits" in console.text

    console.open(path_of(alice, "cancel_reset"))
    console.send("/cancel_reset")

    assert "The reset is called off." in console.text
    sqlite_house.clock.advance(hours=25)
    assert sqlite_house.runtime.factor_resets.work(now=sqlite_house.now) == 0
    assert happened(sqlite_house, EventType.FACTORS_RESET, alice) == []


def test_the_reset_of_an_admin_takes_a_second_one(sqlite_house: House, console: Browser) -> None:
    for name in ("second", "third"):
        sqlite_house.create(name, roles=("admin",))
    enroll(sqlite_house, "second")
    third = signed_in(sqlite_house, "third", enroll(sqlite_house, "third"))
    second = sqlite_house.account("second")
    console.open(path_of(second, "reset"))
    assert "a second admin has to approve it within seven days" in console.text
    console.send("/reset")
    assert "Needs a second admin" in console.text
    console.open(path_of(second, "approve_reset"))
    assert console.path == path_of(second)  # not for who asked for it

    third.open(path_of(second, "approve_reset"))
    third.send("/approve_reset")

    assert "The reset is approved." in third.text
    sqlite_house.clock.advance(hours=25)
    assert sqlite_house.runtime.factor_resets.work(now=sqlite_house.now) == 1


def test_roles_are_set_and_odd_ones_are_not_lost(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    console.open(path_of(alice, "roles"))
    console.send("/roles", roles="editor 9lives")
    assert "One of these cannot be a role." in console.text
    assert 'value="editor 9lives"' in console.page.text

    console.send("/roles", roles="  editor   reader ")

    assert sqlite_house.account("alice").roles == ("editor", "reader")
    assert "The roles are set." in console.text


def test_an_account_is_deleted_by_typing_its_name(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    console.open(path_of(alice, "delete"))
    console.send("/delete", username="Alice")
    assert "That is not the username of this account." in console.text
    assert sqlite_house.administration.find("alice") is not None

    console.send("/delete", username="alice")

    assert console.path == "/admin/accounts"
    assert "The account is deleted." in console.text
    assert sqlite_house.administration.find("alice") is None
    assert console.open(path_of(alice)).status_code == 404


def test_nothing_is_done_to_what_changed_since_one_looked(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    console.open(path_of(alice, "delete"))
    enroll(sqlite_house, "alice")

    page = console.send("/delete", username="alice")

    assert page.status_code == 409
    assert "Something changed since you looked." in console.text
    console.send("/delete", username="alice")
    assert sqlite_house.administration.find("alice") is None


def test_the_last_admin_and_the_own_account_are_protected(
    sqlite_house: House, console: Browser
) -> None:
    root = sqlite_house.account("root")
    console.open(path_of(root))
    assert "This is your own account" in console.text
    csrf = console.form("/logout").fields["csrf"]
    for action in ("disable", "delete", "roles", "reset"):
        data = {"csrf": csrf, "seen": str(root.generation), "username": "root", "roles": ""}
        answer = console.client.post(
            path_of(root, action), data=data, headers=OWN, follow_redirects=False
        )
        assert answer.status_code == 303, action
    assert sqlite_house.account("root").roles == ("admin",)


def test_who_was_demoted_meanwhile_changes_nothing(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    sqlite_house.create("second", roles=("admin",))
    console.open(path_of(alice, "delete"))
    sqlite_house.administration.change(
        sqlite_house.account("root"), OPERATOR, roles=("editor",), now=sqlite_house.now
    )

    console.send("/delete", username="alice")

    assert console.path.startswith("/login")
    assert sqlite_house.administration.find("alice") is not None


def test_a_stale_admin_proves_again_before_anything_is_done(
    sqlite_house: House, console: Browser, alice: Account, root: FakeAuthenticator
) -> None:
    console.open(path_of(alice, "disable"))
    sqlite_house.clock.advance(minutes=11)

    console.send("/disable")

    assert console.path.startswith("/reauthenticate?next=")
    assert not sqlite_house.account("alice").is_disabled
    console.send("/reauthenticate/totp", answer=root.code(sqlite_house.now))
    assert console.path == path_of(alice, "disable")
    console.send("/disable")
    assert sqlite_house.account("alice").is_disabled


def test_every_form_needs_the_token_of_the_session_and_an_admin(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    enrolled = enroll(sqlite_house, "alice")
    hers = signed_in(sqlite_house, "alice", enrolled)
    console.open(path_of(alice))
    own = console.form("/logout").fields["csrf"]
    theirs = hers.form("/logout").fields["csrf"]
    actions = ("unlock", "reset", "roles", "disable", "delete")
    paths = [path_of(alice, action) for action in actions]
    paths += [path_of(alice, f"sessions/{'0' * 32}/end"), "/admin/keys/rotate"]
    paths += [f"/admin/keys/{'0' * 32}/retire"]
    seen = str(sqlite_house.account("alice").generation)
    for path in paths:
        given = {"seen": seen, "username": "alice"}
        for data, headers in (
            (given, OWN),
            ({**given, "csrf": "0" * 64}, OWN),
            ({**given, "csrf": theirs}, OWN),
            ({**given, "csrf": own}, {"Origin": "https://evil.example"}),
        ):
            answer = console.client.post(path, data=data, headers=headers)
            assert answer.status_code == 403, path
        as_alice = hers.client.post(path, data={**given, "csrf": theirs}, headers=OWN)
        assert as_alice.status_code == 403, path
        assert "This page is not for your account" in as_alice.text
    assert not sqlite_house.account("alice").is_disabled
    assert console.client.get(path_of(alice, "nonsense")).status_code == 404


def test_events_are_filtered_and_paged(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    token(client, "alice", "wrong password")
    sign_in(client, "alice")
    today = sqlite_house.now.date().isoformat()

    def count(query: str) -> int:
        console.open(f"/admin/events?{query}")
        return console.page.text.count("<details")

    assert count("user=alice") == 3
    assert count(f"user={alice.subject}&outcome=denied") == 1
    assert "A sign-in was denied" in console.text
    assert count("user=alice&outcome=succeeded") == 1
    assert count("user=alice&type=account.created") == 1
    assert count("user=alice&type=account.created&outcome=denied") == 0
    assert count(f"user=alice&since={today}&until={today}") == 3
    assert count("user=alice&until=2020-01-01") == 0
    assert "No events match." in console.text
    assert count("user=nobody") == 0
    assert "There is no such account" in console.text
    assert count("type=nonsense&since=9999-99-99&until=x&cursor=zz&user=alice") == 3
    for _ in range(60):
        sqlite_house.administration.unlock(alice, OPERATOR, now=sqlite_house.now)
    assert count("user=alice&type=account.unlocked") == 50
    older = next(link for link in console.read().links if "cursor=" in link)
    console.open(older)
    assert console.page.text.count("<details") == 10


def test_an_export_is_whole_and_no_spreadsheet_runs_it(
    sqlite_house: House, console: Browser, alice: Account, client: TestClient
) -> None:
    for agent in ('=HYPERLINK("http://evil.example")', "+1", "-1", "@SUM(1)", "x\ty", '",=1'):
        form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
        client.post("/token", data=form, headers={"User-Agent": agent})
    for _ in range(600):
        sqlite_house.administration.unlock(alice, OPERATOR, now=sqlite_house.now)

    as_csv = console.client.get("/admin/events/export?user=alice&format=csv")
    as_json = console.client.get("/admin/events/export?user=alice&format=jsonl")

    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    lines = [json.loads(line) for line in as_json.text.splitlines()]
    assert len(rows) == len(lines) == 607
    assert {row["subject"] for row in rows} == {alice.subject}
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r")]
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    for answer in (as_csv, as_json):
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["cache-control"] == "no-store"
        assert "html" not in answer.headers["content-type"]


def test_an_export_wants_the_same_rights_and_ends_with_them(
    sqlite_house: House, console: Browser, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    hers = signed_in(sqlite_house, "alice", enroll(sqlite_house, "alice"))
    assert hers.client.get("/admin/events/export").status_code == 403
    sqlite_house.create("second", roles=("admin",))
    monkeypatch.setattr("twinlock.pages.admin.events._AT_ONCE", 2)
    whole = console.client.get("/admin/events/export").text.count("\n")
    ends = iter([None, None])
    find = sqlite_house.runtime.sight.user_of_cookie

    async def demoted_on_the_way(secret: str, **given: bool) -> object:
        if next(ends, 0) == 0:
            return None
        return await find(secret, **given)

    monkeypatch.setattr(
        type(sqlite_house.runtime.sight),
        "user_of_cookie",
        lambda self, secret, **given: demoted_on_the_way(secret, **given),
    )
    part = console.client.get("/admin/events/export").text.count("\n")

    assert (whole > 4, part) == (True, 2)


def test_keys_are_shown_rotated_and_retired(sqlite_house: House, console: Browser) -> None:
    console.open("/admin/keys")
    [old] = sqlite_house.runtime.keys.list_keys()
    assert old.kid in console.text
    assert sqlite_house.runtime.parts.keyring.newest_id in console.text
    sqlite_house.clock.advance(minutes=5)
    console.open("/admin/keys/rotate")
    assert "Nobody is signed out." in console.text
    console.send("/rotate")
    assert "A new key signs from now on." in console.text
    new = sqlite_house.runtime.keys.current().active.kid
    assert new != old.kid

    assert console.open(f"/admin/keys/{new}/retire").url.path == "/admin/keys"
    console.open(f"/admin/keys/{old.kid}/retire")
    console.send("/retire")

    assert "The key is retired." in console.text
    keys = {key.kid: key for key in sqlite_house.runtime.keys.list_keys()}
    assert keys[old.kid].retired_at is not None
    assert keys[new].active
    root = f"admin:{sqlite_house.account('root').subject}"
    assert happened(sqlite_house, EventType.KEY_ROTATED) == [root]
    assert happened(sqlite_house, EventType.KEY_RETIRED) == [root]
    assert console.open("/admin/keys/nonsense/retire").status_code == 404


def test_no_page_of_the_console_holds_anything_inline(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    for path in ("/admin", "/admin/accounts", path_of(alice), path_of(alice, "roles"),
                 "/admin/events", "/admin/keys", "/admin/keys/rotate", "/admin/mail"):  # fmt: skip
        page = console.open(path)
        assert page.status_code == 200, path
        assert not console.read().inline, path
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert all(link.startswith(("/", "#")) for link in console.read().links), path
