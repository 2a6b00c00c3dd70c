"""Who names an address without verifying it keeps its owner from nothing."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.core.proof import Acr
from twinlock.flows.account_making import NewAccount
from twinlock.flows.outcomes import Refused
from twinlock.migrations.run import downgrade, upgrade
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.mail import MailTrap

ADDRESS = "owner@example.com"


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


def verify(client: TestClient, trap: MailTrap, tokens: dict[str, Any]) -> Any:
    begun = client.post("/api/account/email", json={"email": ADDRESS}, headers=bearer(tokens))
    assert begun.status_code == 200, begun.text
    return client.post("/api/recovery/email/confirm", json={"token": trap.token(ADDRESS)})


def test_the_owner_verifies_it_and_has_it_alone(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create("squatter", email=ADDRESS, is_email_verified=False)
    house.create("owner", email=ADDRESS, is_email_verified=False)
    assert token(client, ADDRESS, PASSWORD).status_code == 400

    assert verify(client, trap, sign_in(client, "owner")).status_code == 200

    tokens = sign_in(client, ADDRESS)
    assert client.get("/users/me", headers=bearer(tokens)).json()["username"] == "owner"
    late = verify(client, trap, sign_in(client, "squatter"))
    assert (late.status_code, late.json()["type"]) == (400, "email_taken")


def test_an_operator_who_vouches_for_it_is_not_refused(house: House, client: TestClient) -> None:
    house.create("squatter", email=ADDRESS, is_email_verified=False)

    house.create("owner", email=ADDRESS)

    assert begin_login(client, ADDRESS)["status"] == "signed_in"
    third = NewAccount("third", email=ADDRESS)
    refused = house.administration.create(third, OPERATOR, now=house.now)
    assert isinstance(refused, Refused)
    assert refused.code == "taken"


def test_a_search_shows_all_who_name_it_page_by_page(house: House, client: TestClient) -> None:
    for name in ("a", "b", "c"):
        house.create(name * 3, email=ADDRESS, is_email_verified=False)
    house.create("root", roles=("admin",))
    admin = house.enroll(client, "root")
    seen: list[str] = []
    query = {"search": "owner@", "limit": "1"}
    while True:
        page = client.get("/api/admin/users", params=query, headers=admin.bearer).json()
        seen += [one["username"] for one in page["users"]]
        if not page["next_cursor"]:
            break
        query["cursor"] = page["next_cursor"]

    assert seen == ["aaa", "bbb", "ccc"]


def test_the_migration_goes_both_ways_with_rows_in_it(house: House) -> None:
    with house.open():
        house.create("squatter", email=ADDRESS, is_email_verified=False)
        house.create("owner", email=ADDRESS)
        downgrade(house.database, to="0008")

        upgrade(house.database)

        assert house.account("squatter").email is None
        assert house.account(ADDRESS).username == "owner"


def begin_enrollment(client: TestClient, tokens: dict[str, Any], method: str = "totp") -> Any:
    return client.post(f"/api/factors/{method}", json={}, headers=bearer(tokens))


@pytest.mark.parametrize("method", ["totp", "passkey"])
def test_an_address_is_verified_before_a_factor_is_enrolled(
    house: House, client: TestClient, trap: MailTrap, method: str
) -> None:
    """Or the owner would hear of nothing that happens to the account."""
    house.create("owner", email=ADDRESS, is_email_verified=False)
    tokens = sign_in(client, "owner")

    refused = begin_enrollment(client, tokens, method)
    assert (refused.status_code, refused.json()["type"]) == (400, "email_unverified")

    assert verify(client, trap, tokens).status_code == 200
    assert begin_enrollment(client, sign_in(client, "owner"), method).status_code == 200


def test_an_account_without_an_address_enrolls(house: House, client: TestClient) -> None:
    house.create("owner", email=None)

    assert begin_enrollment(client, sign_in(client, "owner")).status_code == 200


def test_what_a_policy_demands_waits_for_no_mail(house: House, client: TestClient) -> None:
    """Neither before its date, nor after it, when the login itself ends in an enrollment."""
    house.create("owner", email=ADDRESS, is_email_verified=False)
    due = house.now + timedelta(days=7)
    policy = Policy(Kind.EVERYONE, "", Acr.AAL2, due)
    house.policy_administration.set_policy(policy, OPERATOR, now=house.now)

    assert begin_enrollment(client, sign_in(client, "owner")).status_code == 200

    house.clock.advance(days=8)
    login = begin_login(client, "owner")
    assert login["status"] == "enrollment_required"
    body = {"login": login["login"]}
    assert client.post("/api/enrollment/totp", json=body).status_code == 200
