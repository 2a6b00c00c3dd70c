"""What an operator may not do by accident."""

import pytest
from fastapi.testclient import TestClient

from tests.support.house import OPERATOR, PASSWORD, House, token
from twinlock.accounts.directory import Account
from twinlock.flows.account_making import NewAccount
from twinlock.flows.outcomes import Refused


@pytest.mark.parametrize("role", ["staff admin", "", " admin", "admin\n", "1st", "x" * 65])
def test_a_role_is_one_word(sqlite_house: House, role: str) -> None:
    """Stored as two words, "staff admin" would make an administrator unnoticed."""
    with sqlite_house.open():
        account = sqlite_house.create()
        admin = sqlite_house.administration

        made = admin.create(NewAccount("alice", roles=(role,)), OPERATOR, now=sqlite_house.now)
        changed = admin.change(account, OPERATOR, roles=[role], now=sqlite_house.now)

        assert isinstance(made, Refused)
        assert isinstance(changed, Refused)
        assert sqlite_house.account().roles == ()


def test_an_account_has_no_more_roles_than_its_tokens_can_name(sqlite_house: House) -> None:
    roles = [f"r{number:063}" for number in range(33)]
    with sqlite_house.open() as client:
        account = sqlite_house.create()
        admin = sqlite_house.administration

        made = admin.create(NewAccount("alice", roles=tuple(roles)), OPERATOR, now=sqlite_house.now)
        changed = admin.change(account, OPERATOR, roles=roles, now=sqlite_house.now)
        most = admin.change(account, OPERATOR, roles=roles[1:], now=sqlite_house.now)

        assert isinstance(made, Refused)
        assert isinstance(changed, Refused)
        assert isinstance(most, Account)
        assert token(client, "johndoe", PASSWORD).status_code == 200


@pytest.mark.parametrize("act", ["demote", "disable", "delete"])
def test_the_last_administrator_stays(house: House, client: TestClient, act: str) -> None:
    boss = house.create("boss", roles=("admin",))
    house.create("gone", roles=("admin",), is_disabled=True)
    admin = house.administration

    match act:
        case "demote":
            done = admin.change(boss, OPERATOR, roles=[], now=house.now)
        case "disable":
            done = admin.disable(boss, OPERATOR, now=house.now)
        case _:
            done = admin.delete(boss, OPERATOR, now=house.now)

    assert isinstance(done, Refused)
    assert done.code == "last_admin"
    assert house.account("boss") == boss


def test_a_second_administrator_lets_the_first_go(house: House, client: TestClient) -> None:
    boss = house.create("boss", roles=("admin",))
    house.create("other", roles=("admin",))

    assert isinstance(house.administration.delete(boss, OPERATOR, now=house.now), Account)


def test_twins_of_a_name_cannot_coexist(house: House, client: TestClient) -> None:
    house.create("johndoe")

    for twin in ("JohnDoe", "ｊｏｈｎｄｏｅ", "john\u200bdoe", " johndoe "):
        made = house.administration.create(NewAccount(twin), OPERATOR, now=house.now)
        assert isinstance(made, Refused), twin
