"""Whether a process says that it is ready: it must have tried to write."""

import sqlite3
from contextlib import closing

from tests.support.house import House


def test_readiness_writes_to_the_file(sqlite_house: House) -> None:
    """SQLite writes no page that stays what it was, and a full disk would not be seen."""
    path = sqlite_house.settings.database_url.removeprefix("sqlite:///")
    with sqlite_house.open() as client, closing(sqlite3.connect(path)) as other:

        def version() -> int:
            """Change with every commit of another connection that wrote something."""
            number: int = other.execute("PRAGMA data_version").fetchone()[0]
            return number

        before = version()

        assert client.get("/readyz").status_code == 200

        assert version() != before
