"""Policies: who needs what by when, and what a change does to those who are signed in."""

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.home import Home
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.audit.events import EventType
from twinlock.composition import build_parts, close_parts
from twinlock.config.settings import load_master_keys
from twinlock.core.keyring import Keyring
from twinlock.core.proof import Acr
from twinlock.db.engine import Database
from twinlock.flows.outcomes import Refused
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator

COUNT = "SELECT count(*) FROM policy"
OLDER = "UPDATE installation SET key_check = :older"


def demand(
    home: Home,
    kind: Kind = Kind.EVERYONE,
    name: str = "",
    *,
    after: timedelta = timedelta(0),
    methods: Sequence[str] = (),
) -> Policy:
    now = home.house.now
    new = Policy(kind, name, Acr.AAL2, now + after, tuple(methods))
    assert home.house.policy_administration.set_policy(new, OPERATOR, now=now) == new
    return new


def alice_signs_in(home: Home) -> dict[str, Any]:
    """Make alice, who has no second factor, and sign her in."""
    home.house.create("alice")
    return sign_in(home.client, "alice")


def is_alive(home: Home, tokens: dict[str, Any]) -> bool:
    return home.client.get("/users/me", headers=bearer(tokens)).status_code == 200


def refresh(home: Home, tokens: dict[str, Any]) -> int:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    status: int = home.client.post("/token", data=form).status_code
    return status


def test_who_has_no_factor_enrolls_one_inside_the_login(home: Home) -> None:
    home.house.create("alice")
    demand(home)

    asked = begin_login(home.client, "alice")
    path = "/api/enrollment/totp"
    begun = home.client.post(path, json={"login": asked["login"]}).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    done = home.client.post(
        f"{path}/confirm",
        json={
            "login": asked["login"],
            "enrollment": begun["enrollment"],
            "answer": phone.code(home.house.now),
            "label": "Phone",
        },
    )

    assert (asked["status"], asked["expires_in"]) == ("enrollment_required", 900)
    assert asked["link_required"] is False
    assert done.status_code == 200
    assert done.json()["acr"] == "aal2"
    assert is_alive(home, done.json())
    home.house.clock.advance(seconds=30)
    assert begin_login(home.client, "alice")["status"] == "second_factor_required"


@pytest.mark.parametrize("otp", [{}, {"otp": "123456"}], ids=["alone", "with a code"])
def test_the_token_endpoint_gives_a_password_nothing(home: Home, otp: dict[str, str]) -> None:
    home.house.create("alice")
    demand(home)

    response = token(home.client, "alice", PASSWORD, **otp)

    assert (response.status_code, response.json()["error"]) == (403, "enrollment_required")
    assert "mfa_token" not in response.json()


def test_a_wrong_password_tells_nothing_of_the_policy(home: Home) -> None:
    home.house.create("alice")
    demand(home)

    body = {"username": "alice", "password": "not the right password"}
    response = home.client.post("/api/login", json=body)

    assert (response.status_code, response.json()["type"]) == (401, "login_denied")


def test_before_the_date_a_sign_in_reminds_and_after_it_nothing_opens(home: Home) -> None:
    home.house.create("alice")
    policy = demand(home, after=timedelta(days=7))

    early = begin_login(home.client, "alice")
    assert early["status"] == "signed_in"
    assert early["enrollment_due"].startswith(policy.since.strftime("%Y-%m-%dT%H:%M"))
    assert is_alive(home, early)
    home.house.clock.advance(days=7)

    assert begin_login(home.client, "alice")["status"] == "enrollment_required"
    assert refresh(home, early) == 400


def test_nobody_with_a_second_factor_is_reminded(home: Home) -> None:
    demand(home, after=timedelta(days=7))

    response = home.answer(home.begin(), home.code())

    assert "enrollment_due" not in response.json()


def test_a_tightened_policy_is_seen_at_the_next_request(home: Home) -> None:
    """The guard has alice in memory; her session proved less than is demanded now."""
    alice = alice_signs_in(home)
    john = home.answer(home.begin(), home.code()).json()
    assert is_alive(home, alice)
    assert is_alive(home, john)

    demand(home)

    assert not is_alive(home, alice)
    assert refresh(home, alice) == 400
    assert is_alive(home, john)
    assert refresh(home, john) == 200


def test_a_session_dies_with_the_date_and_without_any_change(home: Home) -> None:
    alice = alice_signs_in(home)
    demand(home, after=timedelta(minutes=5))
    assert is_alive(home, alice)
    home.house.clock.advance(minutes=6)
    home.house.runtime.parts.marks.bump_all()  # as memory does after a minute

    assert not is_alive(home, alice)


@pytest.mark.parametrize("kind, name", [(Kind.ROLE, "staff"), (Kind.ACCOUNT, "")])
def test_a_policy_is_for_whom_it_names(home: Home, kind: Kind, name: str) -> None:
    alice = home.house.create("alice", roles=["staff"])
    home.house.create("bob")
    demand(home, kind, name or alice.subject)

    assert begin_login(home.client, "alice")["status"] == "enrollment_required"
    assert begin_login(home.client, "bob")["status"] == "signed_in"


def confirm_passkey(home: Home, login: str, device: FakeAuthenticator) -> Any:
    path = "/api/enrollment/passkey"
    begun = home.client.post(path, json={"login": login}).json()
    body = {
        "login": login,
        "enrollment": begun["enrollment"],
        "answer": device.create(begun["options"]),
        "label": "Key",
    }
    return home.client.post(f"{path}/confirm", json=body)


def test_who_has_only_what_can_be_relayed_enrolls_a_passkey_after_it(home: Home) -> None:
    """Only after every factor that the account has was asked for."""
    now = home.house.now
    phr = Policy(Kind.EVERYONE, "", Acr.PHR, now)
    assert home.house.policy_administration.set_policy(phr, OPERATOR, now=now) == phr
    device = FakeAuthenticator()

    login = begin_login(home.client)
    early = home.client.post("/api/enrollment/passkey", json={"login": login["login"]})
    asked = home.answer(login["login"], home.code()).json()
    weak = home.client.post("/api/enrollment/totp", json={"login": asked["login"]})
    done = confirm_passkey(home, asked["login"], device)

    assert login["status"] == "second_factor_required"
    assert early.status_code == 401
    assert (asked["status"], asked["methods"]) == ("enrollment_required", ["passkey"])
    assert weak.json()["type"] == "method_not_allowed"
    assert done.status_code == 200, done.text
    assert done.json()["acr"] == "phr"
    assert "recovery_codes" not in done.json() or done.json()["recovery_codes"] == []
    assert is_alive(home, done.json())


def test_a_relayed_code_enrolls_no_passkey_beside_the_owner_s(home: Home) -> None:
    now = home.house.now
    phr = Policy(Kind.EVERYONE, "", Acr.PHR, now)
    home.house.policy_administration.set_policy(phr, OPERATOR, now=now)
    asked = home.answer(home.begin(), home.code()).json()
    confirm_passkey(home, asked["login"], FakeAuthenticator())

    relayed = home.answer(home.begin(), home.code())
    spent = home.answer(home.begin(), home.recovery_code(), "recovery_codes")

    assert (relayed.status_code, spent.status_code) == (401, 401)


def test_the_last_factor_under_a_policy_stays(home: Home) -> None:
    demand(home)
    headers = bearer(home.answer(home.begin(), home.code()).json())
    (factor,) = home.client.get("/api/factors", headers=headers).json()["factors"]

    kept = home.client.delete(f"/api/factors/{factor['id']}", headers=headers)

    assert kept.json()["type"] == "last_factor"
    assert len(home.client.get("/api/factors", headers=headers).json()["factors"]) == 1
    home.house.policy_administration.remove_policy(Kind.EVERYONE, "", OPERATOR, now=home.house.now)
    gone = home.client.delete(f"/api/factors/{factor['id']}", headers=headers)
    assert gone.status_code == 200


def test_what_no_method_could_meet_is_not_set(home: Home) -> None:
    """Or nobody would ever sign in again."""
    now = home.house.now
    administration = home.house.policy_administration
    nothing = Policy(Kind.EVERYONE, "", Acr.AAL2, now, ("carrier_pigeon",))

    assert isinstance(administration.set_policy(nothing, OPERATOR, now=now), Refused)
    assert administration.list_policies() == ()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE policy SET document = '[]'",
        "UPDATE policy SET revision = revision + 1",
        "UPDATE policy SET seal = x'00'",
        "UPDATE policy SET seal = 7",
        "DELETE FROM policy",
    ],
)
def test_who_writes_the_database_weakens_no_policy(home: Home, change: str) -> None:
    home.house.create("alice")
    demand(home)
    home.execute(text(change))

    body = {"username": "alice", "password": PASSWORD}
    assert home.client.post("/api/login", json=body).status_code == 503
    assert token(home.client, "alice", PASSWORD).status_code == 503


def test_policies_that_were_taken_away_before_there_were_any_open_nothing(home: Home) -> None:
    """A server that starts again does not take the missing row for a new installation's."""
    home.house.create("alice")
    home.execute(text("DELETE FROM policy"))
    assert home.token(PASSWORD, "alice").status_code == 503

    again = home.house.again()
    home.house.auth.close()
    with again.open() as client:
        assert token(client, "alice", PASSWORD).status_code == 503


@pytest.mark.parametrize("change", ["UPDATE policy SET document = '[]'", "DELETE FROM policy"])
def test_an_operator_begins_the_policies_anew(home: Home, change: str) -> None:
    home.house.create("alice")
    demand(home)
    home.execute(text(change))
    now, administration = home.house.now, home.house.policy_administration

    done = administration.begin_anew(Policy(Kind.EVERYONE, "", Acr.AAL2, now), OPERATOR, now=now)

    assert isinstance(done, Policy)
    assert token(home.client, "alice", PASSWORD).json()["error"] == "enrollment_required"
    assert administration.list_policies() == (done,)
    other = Policy(Kind.ROLE, "staff", Acr.PHR, now)
    assert isinstance(administration.set_policy(other, OPERATOR, now=now), Policy)


def test_an_installation_of_an_earlier_release_gets_its_row_once(sqlite_house: House) -> None:
    def open_and_count() -> int:
        close_parts(build_parts(sqlite_house.settings))
        with closing(Database(sqlite_house.settings.database_url)) as database:
            return int(database.reading(lambda db: db.execute(text(COUNT)).scalar_one()))

    with closing(Database(sqlite_house.settings.database_url)) as database:
        keyring = Keyring(load_master_keys(sqlite_house.settings))
        place = {"table": "installation", "column": "key_check", "row": "1", "account": ""}
        older = keyring.seal(b"these keys belong to this database", **place)
        change = {"older": older}
        database.transaction(lambda tx: tx.execute(text("DELETE FROM policy")))
        database.transaction(lambda tx: tx.execute(text(OLDER), change))

    assert open_and_count() == 1
    with closing(Database(sqlite_house.settings.database_url)) as database:
        database.transaction(lambda tx: tx.execute(text("DELETE FROM policy")))
    assert open_and_count() == 0


def test_a_shorter_password_is_enough_where_a_second_factor_is_demanded(home: Home) -> None:
    body = {"current_password": PASSWORD, "new_password": "Gneiss71ok"}
    house = home.house.again(password_min_length=15)
    home.house.auth.close()
    with house.open() as client:
        form = {"login": begin_login(client)["login"], "answer": home.code()}
        headers = bearer(client.post("/api/login/totp", json=form).json())
        refused = client.post("/api/account/password", json=body, headers=headers)
        new = Policy(Kind.EVERYONE, "", Acr.AAL2, house.now)
        house.policy_administration.set_policy(new, OPERATOR, now=house.now)
        taken = client.post("/api/account/password", json=body, headers=headers)

    assert refused.json()["type"] == "password_too_short"
    assert taken.status_code == 200


def test_changes_are_written_down(home: Home) -> None:
    demand(home)
    home.house.policy_administration.remove_policy(Kind.EVERYONE, "", OPERATOR, now=home.house.now)

    (event,) = home.events(EventType.POLICY_SET)
    assert '"everyone"' in event.details
    assert home.events(EventType.POLICY_REMOVED)
