"""Registration, at HTTP: one answer for every address, and an account for its mailbox alone."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.support.house import PASSWORD, House, begin_login, token
from twinlock.testing.mail import MailTrap

JANE, JOHN = "jane@example.com", "johndoe@example.com"


@pytest.fixture
def house(house: House) -> House:
    return house.again(registration_enabled=True)


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


def ask(client: TestClient, email: str = JANE) -> Any:
    return client.post("/api/registration", json={"email": email})


def register(client: TestClient, link: str, username: str = "jane", **body: Any) -> Any:
    given = {"token": link, "username": username, "password": PASSWORD, **body}
    return client.post("/api/registration/confirm", json=given)


def count_accounts(house: House) -> int:
    with house.database.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM account")).scalar_one())


def test_whoever_reads_the_mails_gets_the_account(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    assert (ask(client).status_code, ask(client).json()) == (202, {"status": "accepted"})
    assert trap.link(JANE).startswith("http://localhost:8000/registration/")
    assert count_accounts(house) == 0

    made = register(client, trap.token(JANE), full_name="Jane Doe")

    assert made.status_code == 201
    told = made.json()
    assert (told["status"], told["username"]) == ("enrollment_required", "jane")
    assert "access_token" not in told
    assert "set-cookie" not in made.headers
    begun = client.post("/api/enrollment/totp", json={"login": told["login"]})
    assert begun.status_code == 200
    assert begin_login(client, JANE)["status"] == "signed_in"
    assert register(client, trap.token(JANE), "jane2").json()["type"] == "link_invalid"
    assert count_accounts(house) == 1


def test_the_answer_is_the_same_for_every_address_and_a_mail_goes_either_way(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    house.create("jim", email="jim@example.com", is_email_verified=False)

    answers = [ask(client, email) for email in (JOHN, JANE, "jim@example.com")]

    told = {(one.status_code, one.text, tuple(sorted(one.headers))) for one in answers}
    assert len(told) == 1
    (known,) = trap.messages(JOHN)
    body = known.get_body(("plain",))
    assert body is not None
    assert "you have an account with it: johndoe" in " ".join(body.get_content().split())
    assert len(trap.messages(JANE)) == len(trap.messages("jim@example.com")) == 1


def test_a_name_that_somebody_has_costs_a_try(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    ask(client)
    link = trap.token(JANE)

    for _ in range(4):
        assert register(client, link, "johndoe").json()["type"] == "taken"
    for wrong in ({"password": "short"}, {"username": "a@b"}):
        assert register(client, link, **{"username": "jane", **wrong}).status_code == 400
    assert register(client, link).status_code == 201


def test_five_names_that_are_taken_void_the_link(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    ask(client)
    link = trap.token(JANE)
    for _ in range(5):
        register(client, link, "johndoe")

    assert register(client, link).json()["type"] == "link_invalid"
    assert count_accounts(house) == 1


def test_an_address_that_somebody_verified_meanwhile_is_theirs(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    ask(client)
    link = trap.token(JANE)
    house.create("owner", email=JANE)

    assert register(client, link).json()["type"] == "email_taken"
    assert count_accounts(house) == 1


def test_a_network_asks_a_hundred_times_an_hour(house: House, client: TestClient) -> None:
    statuses = [ask(client, f"jane{number}@example.com").status_code for number in range(101)]

    assert statuses == [202] * 100 + [429]
    assert ask(house.client("192.0.2.7")).status_code == 202


def test_five_mails_a_day_go_to_a_mailbox(client: TestClient, trap: MailTrap) -> None:
    for _ in range(7):
        assert ask(client).status_code == 202

    assert len(trap.messages(JANE)) == 5


@pytest.mark.parametrize("hours, status", [(23, 201), (24, 400)])
def test_a_link_lives_a_day(
    house: House, client: TestClient, trap: MailTrap, hours: int, status: int
) -> None:
    ask(client)
    link = trap.token(JANE)
    house.clock.advance(hours=hours)

    assert register(client, link).status_code == status


def test_it_is_off_unless_it_is_switched_on(house: House) -> None:
    with house.again(registration_enabled=False).open() as client:
        assert ask(client).status_code == 404
        assert register(client, "x").status_code == 404
        assert token(client, "jane", PASSWORD).status_code == 400


def test_the_twin_of_an_address_learns_nothing_of_its_account(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create("jane", email="straße@example.com")

    assert ask(client, "strasse@example.com").status_code == 202

    assert trap.subjects("strasse@example.com") == []
    assert len(trap.subjects("straße@example.com")) == 1
