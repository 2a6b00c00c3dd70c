"""Policies on the console: seen before they are set, and never set unseen."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from tests.pages.administered import enroll, signed_in
from tests.pages.browser import Browser
from tests.support.house import BASE_URL, OPERATOR, House, sign_in
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.flows.acting import NoLongerAdminError
from twinlock.policies.policy import Kind, Policy

SET = "/admin/policies/set"
OWN = {"Origin": BASE_URL}


def policies(house: House) -> dict[str, Policy]:
    return {one.target: one for one in house.policy_administration.list_policies()}


@pytest.fixture
def town(sqlite_house: House, console: Browser) -> House:
    """Some people, one of them with a second factor."""
    for name in ("alice", "bob", "carol"):
        sqlite_house.create(name, roles=("editor",) if name != "carol" else ())
    enroll(sqlite_house, "alice")
    return sqlite_house


def test_a_policy_is_seen_set_changed_and_removed(town: House, console: Browser) -> None:
    console.open("/admin/policies")
    assert "No policy yet" in console.text
    console.open(SET)
    due = (town.now + timedelta(days=14)).date()
    assert f'value="{due.isoformat()}"' in console.page.text
    assert "Save policy" not in console.text
    console.send(SET, do="look")
    assert "4 accounts are under this policy." in console.text
    assert "2 ■ already meet it" in console.text
    assert "2 ■ set up what is missing" in console.text
    assert "You keep your own access." in console.text
    assert policies(town) == {}

    console.send(SET, do="save")

    assert console.path == "/admin/policies"
    assert "The policy is set." in console.text
    one = policies(town)["everyone"]
    assert (one.acr, one.since.date(), one.methods) == (Acr.AAL2, due, ())
    root = town.account("root").subject
    [event] = town.database.reading(audit.list_events, limit=5, type_=EventType.POLICY_SET)
    assert event.actor == f"admin:{root}"
    console.open("/admin")
    assert "2 accounts do not meet the policy" in console.text
    console.open(f"{SET}?target=everyone")
    assert f'value="{due.isoformat()}"' in console.page.text
    console.open("/admin/policies/remove?target=everyone")
    console.send("/remove")
    assert "The policy is removed." in console.text
    assert policies(town) == {}


@pytest.mark.parametrize(
    "typed,told",
    [
        ({"kind": "role", "role": "editor"}, "2 accounts are under this policy."),
        ({"kind": "role", "role": "nobody"}, "0 accounts are under this policy."),
        ({"kind": "account", "user": "carol"}, "1 account is under this policy."),
        ({"kind": "role", "role": "two words"}, "That cannot be a role."),
        ({"kind": "account", "user": "nobody"}, "There is no such account"),
        ({"since": "2026-13-45"}, "That is no day."),
        ({"since": "soon"}, "That is no day."),
        ({"method_totp": "", "method_passkey": ""}, "Allow at least one second factor."),
        ({"acr": "phr", "method_passkey": ""}, "Nobody could meet this policy."),
    ],
)
def test_what_was_typed_is_answered_and_kept(
    town: House, console: Browser, typed: dict[str, str], told: str
) -> None:
    console.open(SET)
    console.send(SET, do="look", **typed)

    assert told in console.text
    for name in ("role", "user", "since"):
        if name in typed:
            assert f'value="{typed[name]}"' in console.page.text
    assert policies(town) == {}


def test_nothing_is_set_unseen(town: House, console: Browser) -> None:
    console.open(SET)
    for fields in (
        {"do": "save"},
        {"do": "save", "seen": "0" * 64},
        {"do": "save", "seen": "é"},
    ):
        console.send(SET, **fields)
        assert "Something changed since you looked." in console.text
    console.send(SET, do="look", kind="role", role="editor")
    console.send(SET, do="save", kind="everyone")
    assert "Something changed since you looked." in console.text
    console.send(SET, do="look")
    town.create("dave")
    console.send(SET, do="save")
    assert "Something changed since you looked." in console.text
    assert "5 accounts are under this policy." in console.text
    assert policies(town) == {}

    console.send(SET, do="save")

    assert list(policies(town)) == ["everyone"]


def test_nobody_shuts_out_the_admin_who_sets_it(town: House, console: Browser) -> None:
    console.open(SET)
    console.send(SET, do="look", acr="phr", since="")
    assert "You would lose your own access." in console.text
    assert "Save policy" not in console.text

    console.send(SET, do="save", acr="phr", since="")

    assert policies(town) == {}


def admin_of(house: House, console: Browser, client: TestClient) -> User:
    """Return the admin as a request that was let in knows it."""
    assert client.portal is not None
    cookie = console.client.cookies["__Host-twinlock"]
    user = client.portal.call(house.runtime.sight.user_of_cookie, cookie)
    assert isinstance(user, User)
    return user


def test_a_digest_alone_shuts_nobody_out(town: House, console: Browser, client: TestClient) -> None:
    user = admin_of(town, console, client)
    new = Policy(Kind.EVERYONE, "", Acr.PHR, town.now)
    seen = town.runtime.console.preview_policy(new, user, since="", now=town.now)
    assert seen.locks_out
    console.open(SET)

    console.send(SET, do="save", acr="phr", since="", seen=seen.digest)

    assert "You would lose your own access." in console.text
    assert policies(town) == {}


def test_who_was_demoted_on_the_way_sets_rotates_and_retires_nothing(
    town: House, console: Browser, client: TestClient
) -> None:
    user, now = admin_of(town, console, client), town.now
    town.create("second", roles=("admin",))
    town.administration.change(town.account("root"), OPERATOR, roles=(), now=now)
    new = Policy(Kind.EVERYONE, "", Acr.AAL2, now)
    keys, work = town.runtime.keys, town.runtime.policy_administration
    town.policy_administration.set_policy(
        Policy(Kind.ROLE, "editor", Acr.AAL2, now), OPERATOR, now=now
    )

    for refused in (
        lambda: keys.rotate(OPERATOR, admin=user, now=now),
        lambda: keys.retire("0" * 32, OPERATOR, admin=user, now=now),
        lambda: work.set_policy(new, OPERATOR, admin=user, now=now),
        lambda: work.remove_policy(Kind.ROLE, "editor", OPERATOR, admin=user, now=now),
    ):
        with pytest.raises(NoLongerAdminError):
            refused()
    assert list(policies(town)) == ["role:editor"]
    assert len(keys.list_keys()) == 1


def test_only_an_admin_sets_and_removes(town: House, console: Browser, client: TestClient) -> None:
    new = Policy(Kind.ROLE, "editor", Acr.AAL2, town.now + timedelta(days=9))
    town.policy_administration.set_policy(new, OPERATOR, now=town.now)
    town.clock.advance(seconds=30)
    bob = signed_in(town, "bob", enroll(town, "bob"))
    console.open(SET)
    for browser, csrf in ((bob, bob.form("/logout").fields["csrf"]), (console, "0" * 64)):
        for path in (SET, "/admin/policies/remove"):
            data = {"csrf": csrf, "do": "save", "target": "role:editor", "kind": "everyone"}
            assert browser.client.post(path, data=data, headers=OWN).status_code == 403
    town.create("second", roles=("admin",))
    console.open("/admin/policies/remove?target=role:editor")
    town.administration.change(town.account("root"), OPERATOR, roles=(), now=town.now)
    console.send("/remove")
    assert console.path.startswith("/login")
    assert list(policies(town)) == ["role:editor"]
    sign_in(client, "carol")


def test_a_role_with_odd_signs_is_shown_as_text(town: House, console: Browser) -> None:
    console.open(SET)
    page = console.send(SET, do="look", kind="role", role='"><script>alert(1)</script>')

    assert page.status_code == 400
    assert "<script>alert" not in page.text
    assert not console.read().inline
