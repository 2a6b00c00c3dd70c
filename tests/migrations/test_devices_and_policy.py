"""Migration 0005 goes both ways with rows present."""

import pytest
from sqlalchemy import inspect

from tests.support.house import OPERATOR, House
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import Acr
from twinlock.db.engine import Database
from twinlock.migrations.run import downgrade, upgrade
from twinlock.policies.policy import Kind, Policy


def table_names(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_devices_and_policies_come_and_go(house: House) -> None:
    house.auth.start()
    new = Policy(Kind.EVERYONE, "", Acr.AAL2, house.now)
    house.policy_administration.set_policy(new, OPERATOR, now=house.now)

    downgrade(house.database, to="0003")
    without = table_names(house.database)
    upgrade(house.database, to="0005")

    assert not without & {"trusted_device", "policy"}
    with pytest.raises(SealBrokenError):  # they went with their table, and are not read as none
        house.policy_administration.list_policies()
    house.auth.close()
