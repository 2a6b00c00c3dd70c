"""Inviting from the console: from the form to the mail, and to whom it lets in."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from tests.pages.administered import enroll, signed_in
from tests.pages.browser import Browser
from tests.support.house import BASE_URL, OPERATOR, PASSWORD, House
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap

JANE = "jane@example.com"
ASKED = {"email": JANE, "username": "jane", "full_name": "Jane Doe", "roles": "editor reader"}


@pytest.fixture
def open_house(sqlite_house: House) -> House:
    return sqlite_house.again(invitations_enabled=True)


@pytest.fixture
def client(open_house: House) -> Iterator[TestClient]:
    with open_house.open() as client:
        yield client


@pytest.fixture
def root(open_house: House, client: TestClient) -> FakeAuthenticator:
    open_house.create("root", roles=("admin",), full_name="Ana Ruiz")
    return enroll(open_house, "root")


@pytest.fixture
def desk(open_house: House, root: FakeAuthenticator) -> Browser:
    """The browser of an admin, at the form."""
    desk = signed_in(open_house, "root", root)
    desk.open("/admin/invitations/new")
    return desk


@pytest.fixture
def trap(open_house: House) -> MailTrap:
    return MailTrap(lambda: open_house.auth)


def test_who_is_invited_comes_in_by_a_mail_that_no_admin_saw(
    open_house: House, desk: Browser, trap: MailTrap
) -> None:
    answered = desk.send("/invitations/new", **ASKED, days="3")

    jane = open_house.account("jane")
    assert (jane.email, jane.full_name, jane.roles) == (JANE, "Jane Doe", ("editor", "reader"))
    assert jane.password_hash is None
    assert desk.path == "/admin/invitations"
    assert "The invitation is on its way." in desk.text
    assert JANE in desk.text
    [sent] = open_house.database.reading(
        audit.list_events, limit=5, type_=EventType.INVITATION_SENT
    )
    assert sent.actor == f"admin:{open_house.account('root').subject}"
    link = trap.link(JANE)
    token = link.rpartition("/")[2]
    assert token not in answered.text
    hers = Browser(open_house.client())
    hers.open(urlsplit(link).path)
    hers.send(new_password=PASSWORD)
    assert hers.path == "/enrollment"
    desk.open("/admin/invitations")
    assert "No invitation waits" in desk.text


def test_an_invitation_lives_as_long_as_was_chosen(
    open_house: House, desk: Browser, trap: MailTrap
) -> None:
    desk.send("/invitations/new", **ASKED, days="1")
    path = urlsplit(trap.link(JANE)).path
    hers = Browser(open_house.client())
    open_house.clock.advance(hours=23, minutes=59)
    hers.open(path)
    assert "Welcome" in hers.text

    open_house.clock.advance(minutes=1)

    hers.open(path)
    assert "This link does not work any more" in hers.text


@pytest.mark.parametrize("days", ["0", "-1", "8", "99999999999999999999", "x", "1e3", ""])
def test_nobody_gets_longer_than_the_installation_lets_invitations_live(
    open_house: House, desk: Browser, days: str
) -> None:
    desk.send("/invitations/new", **ASKED, days=days)

    [one] = open_house.runtime.invitations.list_waiting(after="0" * 32, limit=5, now=open_house.now)
    assert one.expires_at - one.created_at == open_house.runtime.invitations.longest


def test_a_revoked_invitation_lets_nobody_in(
    open_house: House, desk: Browser, trap: MailTrap
) -> None:
    desk.send("/invitations/new", **ASKED)
    path = urlsplit(trap.link(JANE)).path
    jane = open_house.account("jane")
    desk.open(f"/admin/invitations/{jane.subject}/revoke")
    assert "Revoke the invitation of Jane Doe?" in desk.text

    desk.send("/revoke")

    assert "The invitation is revoked." in desk.text
    assert "No invitation waits" in desk.text
    hers = Browser(open_house.client())
    hers.open(path)
    assert "This link does not work any more" in hers.text


def test_who_is_invited_again_gets_another_link_and_the_first_is_dead(
    open_house: House, desk: Browser, trap: MailTrap
) -> None:
    desk.send("/invitations/new", **ASKED)
    first = urlsplit(trap.link(JANE)).path
    desk.open(f"/admin/invitations/new?again={open_house.account('jane').subject}")
    fields = desk.form("/invitations/new").fields
    assert {name: fields[name] for name in ASKED} == ASKED

    desk.send("/invitations/new", roles="reader")

    second = urlsplit(trap.link(JANE)).path
    hers = Browser(open_house.client())
    hers.open(first)
    assert "This link does not work any more" in hers.text
    hers.open(second)
    assert "Welcome" in hers.text
    assert open_house.account("jane").roles == ("reader",)


@pytest.mark.parametrize(
    "typed, words",
    [
        ({"email": "jane"}, "That is no e-mail address"),
        ({"email": ""}, "That is no e-mail address"),
        ({"username": "jane@doe"}, "That cannot be a username."),
        ({"username": ""}, "That cannot be a username."),
        ({"username": "x" * 3000}, "That cannot be a username."),
        ({"username": "root"}, "Somebody has this username or address already."),
        ({"email": "root@example.com"}, "Somebody has this username or address already."),
        ({"roles": "9lives"}, "One of these cannot be a role."),
        ({"full_name": "a\x00b"}, "The name is too long"),
        ({"full_name": "x" * 256}, "The name is too long"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_typed_is_lost(
    open_house: House, desk: Browser, typed: dict[str, str], words: str
) -> None:
    answered = desk.send("/invitations/new", **{**ASKED, **typed})

    assert answered.status_code == 400
    assert words in desk.text
    fields = desk.form("/invitations/new").fields
    others = {name: value for name, value in ASKED.items() if name not in typed}
    assert {name: fields[name] for name in others} == others
    assert open_house.administration.find("jane") is None


def test_nobody_who_was_demoted_on_the_way_invites(
    open_house: House, desk: Browser, trap: MailTrap
) -> None:
    open_house.create("second", roles=("admin",))
    root = open_house.account("root")
    open_house.administration.change(root, OPERATOR, roles=(), now=open_house.now)

    desk.send("/invitations/new", **ASKED)

    assert desk.path.startswith("/login")
    assert open_house.administration.find("jane") is None
    assert trap.messages(JANE) == []


def test_what_is_switched_off_says_so_and_makes_no_account(
    sqlite_house: House, open_house: House, root: FakeAuthenticator, client: TestClient
) -> None:
    house = sqlite_house.again(invitations_enabled=False)
    with house.open():
        desk = signed_in(house, "root", root)
        for path in ("/admin/invitations", "/admin/invitations/new"):
            assert desk.open(path).status_code == 200
            assert "Invitations are switched off." in desk.text
        csrf = desk.form("/logout").fields["csrf"]
        for path in ("/admin/invitations/new", f"/admin/invitations/{'0' * 32}/revoke"):
            data = {**ASKED, "csrf": csrf}
            desk.client.post(path, data=data, headers={"Origin": BASE_URL})
        assert house.administration.find("jane") is None


def test_the_api_shortens_an_invitation_and_never_lengthens_it(
    open_house: House, client: TestClient
) -> None:
    open_house.create("boss", roles=("admin",))
    boss = open_house.enroll(client, "boss").bearer

    def invited(name: str, expires_in: int) -> float:
        body = {"username": name, "email": f"{name}@example.com", "expires_in": expires_in}
        told = client.post("/api/admin/invitations", json=body, headers=boss)
        assert told.status_code in {201, 422}
        if told.status_code == 422:
            return 0
        [one] = [
            one
            for one in open_house.runtime.invitations.list_waiting(
                after="0" * 32, limit=9, now=open_house.now
            )
            if one.account.username == name
        ]
        return (one.expires_at - one.created_at).total_seconds()

    found = [invited(f"p{n}", n) for n in (3599, 3600, 86_400, 7 * 86_400 + 1, 10**30)]

    assert found == [0, 3600, 86_400, 7 * 86_400, 7 * 86_400]
