"""What breaks beneath a request denies it, and takes back nothing that was decided."""

import sqlite3
from typing import Any

from fastapi.testclient import TestClient
from joserfc import jws
from joserfc.jwk import ECKey
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from tests.support.house import PASSWORD, House, sign_in
from twinlock.accounts.passwords import HashProfile
from twinlock.core.secrets import new_id


def test_a_broken_signing_key_fails_a_hosts_routes_closed(
    sqlite_house: House, host: TestClient
) -> None:
    """An unknown key id has the keys loaded anew, and they do not open."""
    header = {"typ": "at+jwt", "alg": "ES256", "kid": new_id()}
    forged = jws.serialize_compact(header, "{}", ECKey.generate_key("P-256"))
    sqlite_house.database.transaction(
        lambda tx: tx.execute(text("UPDATE signing_key SET private_key = zeroblob(99)"))
    )

    answer = host.get("/items", headers={"Authorization": f"Bearer {forged}"})

    assert answer.status_code == 503


def test_a_sign_in_stands_though_its_hash_cannot_be_renewed(sqlite_house: House) -> None:
    def refuse(*args: Any) -> None:
        if str(args[2]).startswith("UPDATE account SET password_hash"):
            error = sqlite3.OperationalError("disk I/O error")
            raise OperationalError("UPDATE", {}, error)

    with sqlite_house.open() as client:
        sqlite_house.create()
        stronger = HashProfile(memory_kib=128, iterations=1)
        sqlite_house.runtime.password_check._profile = stronger
        event.listen(sqlite_house.database.engine, "before_cursor_execute", refuse)

        tokens = sign_in(client, "johndoe", PASSWORD)

    assert tokens["access_token"]
