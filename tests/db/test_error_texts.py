"""What a database refuses is told without the values: hosts log the text of every exception."""

import pytest
from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from tests.support.house import House
from twinlock.installation.tables import installation

SECRET = b"a secret value"
TWICE = {
    "id": 1,
    "key_check": SECRET,
    "digest_key": SECRET,
    "admins_changed": 0,
    "created_at": None,
}


def test_the_text_of_an_error_holds_no_values(house: House) -> None:
    row = {**TWICE, "created_at": house.now}

    def insert_twice(tx: Connection) -> None:
        tx.execute(insert(installation), row)

    with house.open(), pytest.raises(IntegrityError) as caught:
        house.database.transaction(insert_twice)

    assert "secret" not in str(caught.value)
