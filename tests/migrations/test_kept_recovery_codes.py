"""Migration 0017 goes both ways with codes present: they stay, and are asked for once."""

from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.support.house import House
from twinlock.factors.recovery_codes import store
from twinlock.migrations.run import downgrade, upgrade

COUNT = text("SELECT count(*) FROM recovery_code")


def test_codes_outlive_both_ways(house: House) -> None:
    with house.open() as client:
        codes = enrolled(house, client)
        downgrade(house.database, to="0016")
        assert house.database.reading(lambda db: db.execute(COUNT).scalar_one()) == len(codes)

        upgrade(house.database, to="0017")

        subject = house.account().subject
        left, _, kept = house.database.reading(store.look_at_codes, subject)
        assert (left, kept) == (len(codes), 0)


def enrolled(house: House, client: TestClient) -> list[str]:
    house.create()
    return list(house.enroll(client).recovery_codes)
