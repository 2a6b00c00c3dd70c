"""After a backup was put back: nothing goes on that could have been stopped since (security 8)."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.test_admin import admin, renewed, user
from tests.support.house import OPERATOR, Enrolled, House, bearer
from twinlock.accounts.directory import Account
from twinlock.flows.installation import note_restored
from twinlock.testing.mail import MailTrap

Ask = Callable[[TestClient, Enrolled, Account], Any]


def reset(client: TestClient, root: Enrolled, account: Account) -> Any:
    path = f"/api/admin/users/{account.subject}/factor_reset"
    return client.post(path, headers=root.bearer)


def address(client: TestClient, root: Enrolled, account: Account) -> Any:
    path = f"/api/admin/users/{account.subject}"
    return client.patch(path, json={"email": "evil@example.com"}, headers=root.bearer)


@pytest.mark.parametrize(
    "ask, waiting, count",
    [(reset, "factor_reset", "factor_resets"), (address, "email_change", "email_changes")],
)
def test_what_an_admin_asked_for_before_the_backup_is_called_off(
    house: House, client: TestClient, ask: Ask, waiting: str, count: str
) -> None:
    """Its owner may have stopped it after the backup, and the link that did so is gone."""
    MailTrap(lambda: house.auth)
    root = admin(house, client)
    house.create()
    john = house.enroll(client)
    assert ask(client, root, john.account).status_code in (200, 202)
    assert user(client, root.bearer, john.account)[waiting] is not None

    ended = note_restored(house.runtime.parts, OPERATOR, now=house.now)
    house.clock.advance(hours=25)
    house.runtime.upkeep.work()

    found = user(client, renewed(house, client, root), john.account)
    assert ended[count] == 1
    assert [one["id"] for one in found["factors"]] == [john.tokens["factor"]["id"]]
    assert (found["email"], found[waiting]) == ("johndoe@example.com", None)
    assert client.get("/users/me", headers=bearer(john.tokens)).status_code == 401
