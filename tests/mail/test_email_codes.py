"""Codes by mail as a second factor, at HTTP: asked for, single use, and apart from the password."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.factors.suite import code_in
from tests.support.home import WRONG_CODE
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.core.proof import Acr
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.mail import MailTrap

JOHN = "johndoe@example.com"
NEW_PASSWORD = "a purple bicycle under water"


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


@pytest.fixture
def house(house: House) -> House:
    """The house, with codes by mail switched on."""
    return house.again(email_codes_enabled=True)


def begin(client: TestClient, login: dict[str, Any], **headers: str) -> Any:
    body = {"login": login["login"]}
    return client.post("/api/login/email_code/begin", json=body, headers=headers)


def answer(client: TestClient, login: dict[str, Any], code: str) -> Any:
    return client.post("/api/login/email_code", json={"login": login["login"], "answer": code})


def enroll(client: TestClient, trap: MailTrap, tokens: dict[str, Any], to: str = JOHN) -> Any:
    begun = client.post("/api/factors/email_code", json={}, headers=bearer(tokens))
    assert begun.status_code == 200, begun.text
    body = {"enrollment": begun.json()["enrollment"], "answer": code_in(trap, to)}
    return client.post("/api/factors/email_code/confirm", json=body, headers=bearer(tokens))


def enrolled(house: House, client: TestClient, trap: MailTrap) -> dict[str, Any]:
    house.create()
    confirmed = enroll(client, trap, sign_in(client))
    assert confirmed.status_code == 201, confirmed.text
    body: dict[str, Any] = confirmed.json()
    return body


def full_sign_in(client: TestClient, trap: MailTrap, password: str = PASSWORD) -> dict[str, Any]:
    login = begin_login(client, password=password)
    assert begin(client, login).status_code == 200
    done = answer(client, login, code_in(trap, JOHN))
    assert done.status_code == 200, done.text
    body: dict[str, Any] = done.json()
    return body


def methods_of(login: dict[str, Any]) -> list[str]:
    return [one["method"] for one in login["methods"]]


def test_the_mailbox_is_enrolled_by_answering_from_it(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    confirmed = enrolled(house, client, trap)

    assert confirmed["factor"]["method"] == "email_code"
    assert confirmed["factor"]["label"] == "E-mail"
    assert len(confirmed["recovery_codes"]) == 10
    listed = client.get("/api/factors", headers=bearer(confirmed)).json()["factors"]
    assert [one["details"] for one in listed] == [{"address": JOHN}]
    assert trap.subjects(JOHN)[-1] == "Twinlock: a second factor was added"


def test_the_password_mails_nothing_and_beginning_does(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    enrolled(house, client, trap)
    sent = len(trap.messages())
    login = begin_login(client)

    assert login["methods"][0] == {"method": "email_code"}
    assert len(trap.messages()) == sent
    begun = begin(client, login)

    assert begun.json() == {
        "method": "email_code",
        "options": {"sent_to": "j•••@example.com", "digits": 6},
    }
    assert trap.subjects(JOHN)[-1] == "Twinlock: your code"
    assert len(trap.messages()) == sent + 1


def test_a_session_says_what_was_used(house: House, client: TestClient, trap: MailTrap) -> None:
    enrolled(house, client, trap)

    done = full_sign_in(client, trap)

    assert (done["acr"], done["amr"]) == ("aal2", ["pwd", "otp", "mca", "mfa"])


def test_a_resend_voids_the_older_code_and_keeps_the_counts(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    enrolled(house, client, trap)
    login = begin_login(client)
    begin(client, login)
    older = code_in(trap, JOHN)
    begin(client, login)
    newer = code_in(trap, JOHN)

    assert older == newer or answer(client, login, older).status_code == 401
    for _ in range(3):
        assert answer(client, login, WRONG_CODE).status_code == 401
        begin(client, login)
    assert answer(client, login, WRONG_CODE).status_code == 401
    begun = begin(client, login)

    assert begun.status_code == 401
    assert answer(client, login, code_in(trap, JOHN)).status_code in {401, 429}


def test_a_code_belongs_to_the_login_that_asked_for_it(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    enrolled(house, client, trap)
    mine, other = begin_login(client), begin_login(client)
    begin(client, mine)

    assert answer(client, other, code_in(trap, JOHN)).status_code == 401
    assert answer(client, mine, code_in(trap, JOHN)).status_code == 200
    assert answer(client, mine, code_in(trap, JOHN)).status_code == 401


def test_a_code_is_forgiven_its_spaces(house: House, client: TestClient, trap: MailTrap) -> None:
    enrolled(house, client, trap)
    login = begin_login(client)
    begin(client, login)
    code = code_in(trap, JOHN)

    assert answer(client, login, f" {code[:3]}-{code[3:]}\u00a0").status_code == 200


@pytest.mark.parametrize("seconds, status", [(119, 200), (120, 401)])
def test_a_code_dies_before_its_login_where_it_is_to(
    house: House, seconds: int, status: int
) -> None:
    hasty = house.again(email_code_lifetime=timedelta(minutes=2))
    trap = MailTrap(lambda: hasty.auth)
    with hasty.open() as client:
        enrolled(hasty, client, trap)
        login = begin_login(client)
        begin(client, login)
        code = code_in(trap, JOHN)
        hasty.clock.advance(seconds=seconds)

        assert answer(client, login, code).status_code == status


def test_twenty_mails_a_day_and_the_last_is_for_browsers_that_are_known(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    enrolled(house, client, trap)
    browser = house.client()
    origin = {"Origin": "http://localhost:8000"}
    login = browser.post(
        "/api/login", json={"username": "johndoe", "password": PASSWORD}, headers=origin
    ).json()
    begin(browser, login, **origin)
    known = browser.post(
        "/api/login/email_code",
        json={"login": login["login"], "answer": code_in(trap, JOHN)},
        headers=origin,
    )
    assert known.status_code == 200  # two of twenty so far
    secret = known.cookies["__Host-twinlock-known"]
    origin["Cookie"] = f"__Host-twinlock-known={secret}"
    browser.cookies.clear()

    statuses = [begin(client, begin_login(client)).status_code for _ in range(18)]

    assert statuses == [200] * 17 + [429]
    refused = begin(client, begin_login(client))
    assert refused.json()["type"] == "too_many_tries"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    again = browser.post(
        "/api/login", json={"username": "johndoe", "password": PASSWORD}, headers=origin
    ).json()
    assert begin(browser, again, **origin).status_code == 200
    assert begin(browser, again, **origin).status_code == 429
    house.clock.advance(days=1)
    assert begin(client, begin_login(client)).status_code == 200


def test_an_address_that_is_not_verified_is_not_enrolled(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create(is_email_verified=False)
    house.create("jane", email=None)

    for name in ("johndoe", "jane"):
        tokens = sign_in(client, name)
        refused = client.post("/api/factors/email_code", json={}, headers=bearer(tokens))
        assert (refused.status_code, refused.json()["type"]) == (400, "email_unverified")
    assert trap.messages() == []


def test_a_mailbox_never_stands_for_both_factors(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    codes = enrolled(house, client, trap)["recovery_codes"]
    login = begin_login(client)
    begin(client, login)
    client.post("/api/recovery/password", json={"email": JOHN})
    reset = {"token": trap.token(JOHN), "password": NEW_PASSWORD}
    assert client.post("/api/recovery/password/confirm", json=reset).status_code == 200

    login = begin_login(client, password=NEW_PASSWORD)

    assert methods_of(login) == ["recovery_codes"]
    sent = len(trap.messages())
    assert begin(client, login).status_code == 401
    assert len(trap.messages()) == sent
    assert answer(client, login, "123456").status_code == 401
    by_code = {"login": login["login"], "answer": codes[0]}
    assert client.post("/api/login/recovery_codes", json=by_code).status_code == 200
    full_sign_in(client, trap, NEW_PASSWORD)


def test_another_factor_used_since_counts_even_when_it_is_gone(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    john = house.enroll(client)
    assert enroll(client, trap, john.tokens).status_code == 201
    client.post("/api/recovery/password", json={"email": JOHN})
    reset = {"token": trap.token(JOHN), "password": NEW_PASSWORD}
    assert client.post("/api/recovery/password/confirm", json=reset).status_code == 200
    assert methods_of(begin_login(client, password=NEW_PASSWORD)) == ["totp", "recovery_codes"]

    house.clock.advance(seconds=30)
    login = begin_login(client, password=NEW_PASSWORD)
    by_app = {"login": login["login"], "answer": john.phone.code(house.now)}
    tokens = client.post("/api/login/totp", json=by_app).json()

    assert "email_code" in methods_of(begin_login(client, password=NEW_PASSWORD))
    app = john.tokens["factor"]["id"]
    removed = client.delete(f"/api/factors/{app}", headers=bearer(tokens))
    assert removed.status_code == 200
    full_sign_in(client, trap, NEW_PASSWORD)


def test_a_password_from_a_link_enrolls_no_mailbox_until_it_is_changed(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    client.post("/api/recovery/password", json={"email": JOHN})
    reset = {"token": trap.token(JOHN), "password": NEW_PASSWORD}
    client.post("/api/recovery/password/confirm", json=reset)
    tokens = sign_in(client, password=NEW_PASSWORD)

    refused = client.post("/api/factors/email_code", json={}, headers=bearer(tokens))

    assert (refused.status_code, refused.json()["type"]) == (400, "same_mailbox")
    changed = client.post(
        "/api/account/password",
        json={"current_password": NEW_PASSWORD, "new_password": PASSWORD},
        headers=bearer(tokens),
    )
    assert enroll(client, trap, changed.json()).status_code == 201


def test_the_token_endpoint_never_answers_the_password_alone(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    enrolled(house, client, trap)

    required = token(client, "johndoe", PASSWORD)

    assert required.status_code == 403
    body = required.json()
    assert body["error"] == "mfa_required"
    assert body["methods"][0] == {"method": "email_code"}
    begin(client, {"login": body["mfa_token"]})
    code = code_in(trap, JOHN)
    for denied in (
        token(client, "johndoe", PASSWORD + code),
        token(client, "johndoe", PASSWORD, otp=code),
    ):
        assert (denied.status_code, denied.json()["error"]) == (400, "invalid_grant")
    form = {
        "grant_type": "urn:twinlock:params:oauth:grant-type:second-factor",
        "mfa_token": body["mfa_token"],
        "method": "email_code",
        "answer": code,
    }
    assert client.post("/token", data=form).status_code == 200
    assert client.post("/token", data=form).status_code == 400


def test_a_session_proves_again_by_mail(house: House, client: TestClient, trap: MailTrap) -> None:
    tokens = enrolled(house, client, trap)
    headers = bearer(tokens)
    begun = client.post("/api/reauthenticate", json={}, headers=headers).json()
    sent = len(trap.messages())

    assert [one["method"] for one in begun["methods"]] == ["email_code", "recovery_codes"]
    handle = {"reauthentication": begun["reauthentication"]}
    asked = client.post("/api/reauthenticate/email_code/begin", json=handle, headers=headers)

    assert asked.status_code == 200
    assert len(trap.messages()) == sent + 1
    body = {**handle, "answer": code_in(trap, JOHN)}
    done = client.post("/api/reauthenticate/email_code", json=body, headers=headers)
    assert (done.status_code, done.json()["acr"]) == (200, "aal2")
    assert (
        client.post("/api/reauthenticate/email_code", json=body, headers=headers).status_code == 401
    )


def test_a_new_address_moves_no_code(house: House, client: TestClient, trap: MailTrap) -> None:
    """Who has stolen a session, and a mailbox of their own, gets no second factor with it."""
    tokens = enrolled(house, client, trap)
    other = "john@example.org"
    changed = client.post("/api/account/email", json={"email": other}, headers=bearer(tokens))
    assert changed.status_code == 200
    confirmed = client.post("/api/recovery/email/confirm", json={"token": trap.token(other)})
    assert confirmed.status_code == 200

    tokens = full_sign_in(client, trap)

    house.clock.advance(seconds=1)
    second = enroll(client, trap, tokens, to=other)
    assert second.status_code == 201
    login = begin_login(client)
    assert begin(client, login).json()["options"]["sent_to"] == "j•••@example.org"
    assert answer(client, login, code_in(trap, other)).status_code == 200
    full = client.post("/api/factors/email_code", json={}, headers=bearer(second.json()))
    assert full.status_code in {400, 401}


def test_a_row_that_somebody_else_wrote_gets_no_code(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    enrolled(house, client, trap)
    sent = len(trap.messages())
    with house.database.engine.begin() as connection:
        connection.execute(text("UPDATE email_code SET address = 'mallory@example.net'"))

    assert begin(client, begin_login(client)).status_code == 401

    assert len(trap.messages()) == sent


def test_a_hundred_wrong_codes_stop_the_mailed_ones(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    codes = enrolled(house, client, trap)["recovery_codes"]
    for _ in range(100):
        house.clock.advance(minutes=30)
        answer(client, begin_login(client), WRONG_CODE)
    house.clock.advance(minutes=30)
    login = begin_login(client)
    begin(client, login)

    assert answer(client, login, code_in(trap, JOHN)).status_code == 401

    by_code = {"login": login["login"], "answer": codes[0]}
    assert client.post("/api/login/recovery_codes", json=by_code).status_code == 200
    full_sign_in(client, trap)


def test_a_login_that_must_enroll_may_enroll_its_mailbox(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    house.create("jane", is_email_verified=False)
    demand = Policy(Kind.EVERYONE, "", Acr.AAL2, house.now)
    house.policy_administration.set_policy(demand, OPERATOR, now=house.now)
    assert begin_login(client, "jane")["methods"] == ["totp", "passkey"]
    login = begin_login(client)
    assert login["methods"] == ["totp", "passkey", "email_code"]

    handle = {"login": login["login"]}
    begun = client.post("/api/enrollment/email_code", json=handle).json()
    body = {
        **handle,
        "enrollment": begun["enrollment"],
        "answer": code_in(trap, JOHN),
        "label": "x",
    }
    done = client.post("/api/enrollment/email_code/confirm", json=body)

    assert (done.status_code, done.json()["acr"]) == (200, "aal2")
    assert len(done.json()["recovery_codes"]) == 10


def test_the_code_is_nowhere_at_rest(house: House, client: TestClient, trap: MailTrap) -> None:
    enrolled(house, client, trap)
    login = begin_login(client)
    begin(client, login)
    with house.database.engine.connect() as connection:
        rows = [
            *connection.execute(text("SELECT * FROM pending")),
            *connection.execute(text("SELECT * FROM outbox")),
        ]
    code = code_in(trap, JOHN).encode()

    assert rows
    for row in rows:
        assert not any(code in bytes(value) for value in row if isinstance(value, bytes))
    assert answer(client, login, code.decode()).status_code == 200
    with house.database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pending")).scalar() == 0
        left = "SELECT count(*) FROM outbox WHERE sealed IS NOT NULL"
        assert connection.execute(text(left)).scalar() == 0


def test_it_is_off_unless_it_is_switched_on(sqlite_house: House) -> None:
    house = sqlite_house
    with house.open() as client:
        house.create()
        refused = client.post("/api/factors/email_code", json={}, headers=bearer(sign_in(client)))

        assert (refused.status_code, refused.json()["type"]) == (400, "unknown_method")
        assert (
            client.post("/api/login/email_code", json={"login": "x", "answer": "1"}).status_code
            == 401
        )
