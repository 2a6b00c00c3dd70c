"""Migration 0016 goes both ways with rows present: a reset that waits is asked for again."""

from sqlalchemy import text

from tests.support.house import House
from twinlock.migrations.run import downgrade, upgrade

OLD = text(
    "INSERT INTO factor_reset (subject_id, generation, requested_by, requested_at, due_at,"
    " expires_at) VALUES ('5', 1, '6', '2026-01-01', '2026-01-02', '2026-01-08')"
)
COUNT = text("SELECT count(*) FROM factor_reset")


def count(house: House) -> int:
    number: int = house.database.reading(lambda db: db.execute(COUNT).scalar_one())
    return number


def test_a_reset_without_a_seal_does_not_outlive_the_upgrade(house: House) -> None:
    downgrade(house.database, to="0015")
    house.database.transaction(lambda tx: tx.execute(OLD))
    assert count(house) == 1

    upgrade(house.database, to="0016")

    assert count(house) == 0
