"""Migration 0002 goes both ways with rows present, and leaves the events alone."""

from sqlalchemy import inspect

from tests.support.house import House
from twinlock.audit.store import list_events
from twinlock.db.engine import Database
from twinlock.flows import chaining
from twinlock.migrations.revision import get_revision
from twinlock.migrations.run import downgrade, upgrade


def table_names(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_the_audit_chain_comes_and_goes_and_begins_anew(house: House) -> None:
    house.auth.start()
    house.clock.advance(minutes=10)
    first = chaining.extend(house.runtime.parts, now=house.now)
    events = house.database.reading(list_events, limit=100)

    downgrade(house.database, to="0001")
    without = table_names(house.database)
    kept = house.database.reading(list_events, limit=100)
    upgrade(house.database, to="0002")

    assert first > 0
    assert "audit_chain" not in without
    assert kept == events
    assert house.database.reading(get_revision) == "0002"
    assert chaining.extend(house.runtime.parts, now=house.now) == first
    house.auth.close()
