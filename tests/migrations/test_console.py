"""Migration 0011 goes both ways with rows present."""

from sqlalchemy import inspect

from tests.support.house import House
from twinlock.flows import tallying
from twinlock.migrations.run import downgrade, upgrade


def test_what_the_console_reads_comes_and_goes(house: House) -> None:
    house.auth.start()
    house.create("root", None, roles=("admin",))
    house.clock.advance(hours=2)
    tallying.count_hours(house.runtime.parts, now=house.now)

    downgrade(house.database, to="0004")
    without = set(inspect(house.database.engine).get_table_names())
    upgrade(house.database, to="0011")

    assert "tally" not in without
    assert tallying.count_hours(house.runtime.parts, now=house.now) > 0
    house.auth.close()
