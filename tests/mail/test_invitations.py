"""Invitations, at HTTP: one link, one first password, and no session that a policy forbids."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.house import OPERATOR, PASSWORD, Enrolled, House, begin_login, token
from twinlock.accounts.search import store as search
from twinlock.core.proof import Acr
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap

JANE = "jane@example.com"


@pytest.fixture
def house(house: House) -> House:
    return house.again(invitations_enabled=True, email_codes_enabled=True)


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


@pytest.fixture
def root(house: House, client: TestClient) -> Enrolled:
    house.create("root", roles=("admin",))
    return house.enroll(client, "root")


def invite(client: TestClient, root: Enrolled, **body: Any) -> Any:
    given = {"username": "jane", "email": JANE, **body}
    return client.post("/api/admin/invitations", json=given, headers=root.bearer)


def accept(client: TestClient, link: str, password: str = PASSWORD) -> Any:
    body = {"token": link, "password": password}
    return client.post("/api/invitations/confirm", json=body)


def waiting(client: TestClient, root: Enrolled) -> list[dict[str, Any]]:
    listed = client.get("/api/admin/invitations", headers=root.bearer)
    assert listed.status_code == 200, listed.text
    found: list[dict[str, Any]] = listed.json()["invitations"]
    return found


def test_the_first_password_and_the_first_factor_come_in_one_flow(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    sent = invite(client, root, full_name="Jane Doe", roles=["editor"])

    assert sent.status_code == 201
    assert trap.link(JANE).startswith("http://localhost:8000/invitations/")
    assert trap.token(JANE) not in sent.text
    assert [one["username"] for one in waiting(client, root)] == ["jane"]
    assert token(client, "jane", PASSWORD).status_code == 400

    welcomed = accept(client, trap.token(JANE))

    assert welcomed.status_code == 200
    told = welcomed.json()
    assert (told["status"], told["username"], told["demanded"]) == (
        "enrollment_required",
        "jane",
        False,
    )
    assert told["methods"] == ["totp", "passkey"]  # a mailbox is not both factors
    assert "access_token" not in told
    assert "set-cookie" not in welcomed.headers
    assert waiting(client, root) == []
    begun = client.post("/api/enrollment/totp", json={"login": told["login"]}).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    done = client.post(
        "/api/enrollment/totp/confirm",
        json={
            "login": told["login"],
            "enrollment": begun["enrollment"],
            "answer": phone.code(house.now),
            "label": "Phone",
        },
    )
    assert (done.status_code, done.json()["acr"]) == (200, "aal2")
    assert begin_login(client, JANE)["status"] == "second_factor_required"


def test_it_is_accepted_once(client: TestClient, trap: MailTrap, root: Enrolled) -> None:
    invite(client, root)
    link = trap.token(JANE)

    refused = accept(client, link, "short")
    assert refused.status_code == 400
    assert refused.json()["type"].startswith("password_")
    assert accept(client, link).status_code == 200

    assert accept(client, link, "another fine password").json()["type"] == "link_invalid"
    assert begin_login(client, "jane")["status"] == "signed_in"


def test_no_policy_is_got_round(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    demand = Policy(Kind.EVERYONE, "", Acr.AAL2, house.now)
    house.policy_administration.set_policy(demand, OPERATOR, now=house.now)
    invite(client, root)

    assert accept(client, trap.token(JANE), "eightchr").json()["demanded"] is True

    assert begin_login(client, "jane", "eightchr")["status"] == "enrollment_required"
    assert token(client, "jane", "eightchr").json()["error"] == "enrollment_required"


@pytest.mark.parametrize("seconds, status", [(-1, 200), (0, 400)])
def test_it_lives_seven_days(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled, seconds: int, status: int
) -> None:
    invite(client, root)
    link = trap.token(JANE)
    house.clock.advance(seconds=int(timedelta(days=7).total_seconds()) + seconds)

    assert accept(client, link).status_code == status


def test_another_invitation_voids_the_older(
    client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    invite(client, root)
    older = trap.token(JANE)
    invite(client, root)
    newer = trap.token(JANE)

    assert older != newer
    assert accept(client, older).json()["type"] == "link_invalid"
    assert len(waiting(client, root)) == 1
    assert accept(client, newer).status_code == 200


def test_it_can_be_revoked_and_dies_with_any_change(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    invited = invite(client, root).json()
    link = trap.token(JANE)
    path = f"/api/admin/invitations/{invited['id']}"

    assert client.delete(path, headers=root.bearer).status_code == 204
    assert client.delete(path, headers=root.bearer).status_code == 404
    assert accept(client, link).json()["type"] == "link_invalid"

    invite(client, root)
    jane = house.account("jane")
    house.administration.disable(jane, OPERATOR, now=house.now)
    assert accept(client, trap.token(JANE)).json()["type"] == "link_invalid"
    assert invite(client, root).json()["type"] == "taken"
    house.administration.enable(house.account("jane"), OPERATOR, now=house.now)
    invite(client, root)
    assert accept(client, trap.token(JANE)).status_code == 200


def test_who_got_in_is_not_invited_again(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    house.create("john", email="john@example.com")
    house.create("jim", email=JANE)

    for taken in ({"username": "john"}, {"username": "new"}, {"username": "new", "email": JANE}):
        assert invite(client, root, **taken).json()["type"] == "taken"
    assert trap.messages(JANE) == []
    assert house.administration.find("new") is None


def test_an_address_that_somebody_verified_meanwhile_is_theirs(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    invite(client, root)
    link = trap.token(JANE)
    house.create("owner", email=JANE)

    assert accept(client, link).json()["type"] == "email_taken"

    assert house.account("jane").password_hash is None


def test_only_admins_invite_and_only_where_it_is_switched_on(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    with house.again(invitations_enabled=False).open() as closed:
        assert accept(closed, "x").status_code == 404
        assert invite(closed, root).status_code == 404
    assert trap.messages(JANE) == []


def test_five_invitations_a_day_go_to_a_mailbox(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    statuses = [invite(client, root).status_code for _ in range(6)]

    assert statuses == [201] * 5 + [400]
    assert len(trap.messages(JANE)) == 5


def test_another_invitation_gives_its_own_roles_and_no_older_ones(
    house: House, client: TestClient, trap: MailTrap, root: Enrolled
) -> None:
    invite(client, root, roles=["admin"])
    again = invite(client, root, roles=["editor"])

    assert again.json()["roles"] == ["editor"]
    assert [one["roles"] for one in waiting(client, root)] == [["editor"]]
    assert accept(client, trap.token(JANE)).status_code == 200
    assert house.account("jane").roles == ("editor",)


def test_who_is_only_invited_is_no_admin_to_leave_the_house_to(
    house: House, client: TestClient, root: Enrolled
) -> None:
    invite(client, root, roles=["admin"])

    gone = client.delete(f"/api/admin/users/{root.account.subject}", headers=root.bearer)

    assert (gone.status_code, gone.json()["type"]) == (400, "last_admin")
    [one] = house.database.reading(search.list_acting_admins, limit=5)
    assert one.subject == root.account.subject
