"""The console under attack: odd input everywhere, replays, two admins at once, weaker sessions."""

import csv
import io
import itertools
import re

import pytest
from fastapi.testclient import TestClient

from tests.pages.administered import enroll, signed_in
from tests.pages.browser import Browser
from tests.pages.test_console_actions import alice, happened, path_of
from tests.pages.test_console_doors import LOOKING, SENDING
from tests.support.house import BASE_URL, OPERATOR, House
from twinlock.accounts.directory import Account
from twinlock.audit.events import EventType
from twinlock.flows.event_lines import csv_cell

__all__ = ["alice"]

OWN = {"Origin": BASE_URL, "Accept": "text/html"}
ODD = (
    "",
    "\x00",
    "\ud7ff\U0010ffff",
    "x" * 2_000,
    "' OR 1=1 --",
    "%00%ff",
    "-1",
    "9" * 400,
    "2026-02-30",
    "9999-12-31",
    "0001-01-01",
    "::1/0",
    "300.1.1.1/99",
    "eyJhIjoxfQ==",
    "[]",
    "../../etc",
    "role:admin",
    "account:",
    "everyone:x",
    "\r\nSet-Cookie: a=b",
)
PARAMETERS = (
    "q", "factor", "state", "role", "cursor", "user", "type", "outcome", "since", "until", "ip",
    "format", "target", "again",
)  # fmt: skip
FIELDS = (
    "seen", "why", "full_name", "email", "roles", "username", "days", "kind", "role", "user", "acr",
    "since", "do", "target", "state",
)  # fmt: skip


def filled(route: str, account: Account, odd: str = "0" * 32) -> str:
    """Fill a route's path in."""
    path = route.partition(" ")[2].replace("{user_id}", account.subject)
    path = path.replace("{action}", "name")
    return re.sub(r"\{\w+\}", odd, path)


def test_no_odd_query_breaks_a_page(console: Browser, alice: Account) -> None:
    for route, odd in itertools.product(LOOKING, ODD):
        params = dict.fromkeys(PARAMETERS, odd)
        answer = console.client.get(filled(route, alice), params=params, headers=OWN)

        assert answer.status_code < 500, (route, odd, answer.text)
        assert "set-cookie: a=b" not in str(answer.headers).lower()
        assert odd not in answer.text or len(odd) < 5 or "<" not in odd


def test_no_odd_form_breaks_a_page(sqlite_house: House, console: Browser, alice: Account) -> None:
    console.open("/admin")
    csrf = console.form("/logout").fields["csrf"]
    acts = ("name", "email", "roles", "delete")
    routes = [route for route in SENDING if "{action}" not in route]
    routes += [route.replace("{action}", act) for route in set(SENDING) - {*routes} for act in acts]
    for route, odd in itertools.product(routes, ODD):
        data = dict.fromkeys(FIELDS, odd) | {"csrf": csrf}
        if route.endswith(acts):
            data["seen"] = str(sqlite_house.account("alice").generation)
        path = filled(route, alice)
        answer = console.client.post(path, data=data, headers=OWN, follow_redirects=False)

        assert answer.status_code < 500, (route, odd, answer.text)
    kept = sqlite_house.account("alice")
    assert (kept.email, kept.username) == (alice.email, "alice")


@pytest.mark.parametrize("odd", ["%00", "%2e%2e%2f", "x" * 3_000, "é" * 32, "' OR 1=1 --"])
def test_no_odd_id_is_anybody(console: Browser, alice: Account, odd: str) -> None:
    console.open("/admin")
    csrf = console.form("/logout").fields["csrf"]
    for path in (f"/admin/accounts/{odd}", f"/admin/accounts/{odd}/disable",
                 f"/admin/accounts/{alice.subject}/{odd}", f"/admin/keys/{odd}/retire",
                 f"/admin/invitations/{odd}/revoke"):  # fmt: skip
        answer = console.client.get(path, headers=OWN, follow_redirects=False)
        assert answer.status_code in (303, 307, 404), path
    for path in (f"/admin/accounts/{alice.subject}/sessions/{odd}/end", f"/admin/mail/{odd}/again"):
        answer = console.client.post(path, data={"csrf": csrf}, headers=OWN, follow_redirects=False)
        assert answer.status_code in (303, 404), path


def test_a_form_that_was_sent_already_does_nothing_again(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    console.open(path_of(alice, "disable"))
    kept = console.form("/disable").fields
    console.send("/disable", why="once")
    console.open(path_of(alice, "enable"))
    console.send("/enable")

    console.open(path_of(alice, "disable"))
    again = console.send("/disable", **kept)

    assert again.status_code == 409
    assert "Something changed since you looked." in console.text
    assert not sqlite_house.account("alice").is_disabled
    assert len(happened(sqlite_house, EventType.ACCOUNT_DISABLED, alice)) == 1


def test_a_form_of_one_account_does_nothing_to_another(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    bob = sqlite_house.create("bob")
    console.open(path_of(alice, "delete"))
    fields = {**console.form("/delete").fields, "username": "alice"}

    answer = console.client.post(path_of(bob, "delete"), data=fields, headers=OWN)

    assert answer.status_code in (400, 409)
    assert sqlite_house.administration.find("bob") is not None
    assert sqlite_house.administration.find("alice") is not None


def test_of_two_admins_who_demote_each_other_the_slower_is_out(
    sqlite_house: House, console: Browser
) -> None:
    second = sqlite_house.create("second", roles=("admin",))
    root = sqlite_house.account("root")
    theirs = signed_in(sqlite_house, "second", enroll(sqlite_house, "second"))
    console.open(path_of(second, "roles"))
    theirs.open(path_of(root, "roles"))
    console.send("/roles", roles="")

    theirs.send("/roles", roles="")

    assert theirs.path.startswith("/login")
    assert sqlite_house.account("root").roles == ("admin",)
    assert sqlite_house.account("second").roles == ()


def test_what_another_admin_did_meanwhile_is_shown_first(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    sqlite_house.create("second", roles=("admin",))
    theirs = signed_in(sqlite_house, "second", enroll(sqlite_house, "second"))
    console.open(path_of(alice, "roles"))
    theirs.open(path_of(alice, "roles"))
    theirs.send("/roles", roles="auditor")

    answer = console.send("/roles", roles="editor")

    assert answer.status_code == 409
    assert 'value="auditor"' in answer.text
    assert sqlite_house.account("alice").roles == ("auditor",)
    theirs.open(path_of(alice, "delete"))
    console.open(path_of(alice, "disable"))
    theirs.send("/delete", username="alice")
    assert console.send("/disable").status_code == 404


def test_a_session_of_a_password_alone_opens_nothing_and_sends_nothing(
    sqlite_house: House, client: TestClient, alice: Account
) -> None:
    sqlite_house.create("weak", roles=("admin",))
    weak = Browser(sqlite_house.client())
    weak.sign_in("weak")
    enroll(sqlite_house, "weak")
    weak.sign_in("weak")  # the session of before died with the enrollment; this one only waits
    weak.open("/admin")
    assert "/admin" not in weak.path.partition("?")[0]
    answer = weak.client.post(path_of(alice, "disable"), data={"seen": "1"}, headers=OWN)
    assert answer.status_code in (401, 403) or "/login" in str(answer.url)
    assert not sqlite_house.account("alice").is_disabled


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", "\r=", " =", *"\uff1d\uff0b\uff0d\uff20"]
)
def test_no_cell_begins_like_a_formula(start: str) -> None:
    cell = csv_cell(f'{start}cmd|"/c calc"!A1')

    assert cell.startswith(("'", "\\"))


def test_what_admins_and_strangers_write_is_no_formula_in_an_export(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    work, now = sqlite_house.administration, sqlite_house.now
    console.open(path_of(alice, "name"))
    console.send("/name", full_name="=1+1", why="=HYPERLINK(1)")
    work.unlock(alice, OPERATOR, now=now)

    text = console.client.get("/admin/events/export?user=alice&format=csv").text

    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [
        cell for cell in cells if cell.lstrip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20")
    ]
