"""SQL that finds counts for an admin."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, LargeBinary, bindparam, select

from twinlock.throttle.tables import throttle

FIND_IN_A_ROW = select(throttle.c.key, throttle.c.in_a_row).where(
    throttle.c.key.in_(bindparam("keys", type_=LargeBinary(), expanding=True)),
    throttle.c.in_a_row >= bindparam("least"),
)


def find_in_a_row(db: Connection, keys: Sequence[bytes], *, least: int) -> Mapping[bytes, int]:
    """Return those of some keys under which so many tries were counted in a row, with how many."""
    params = {"keys": list(keys), "least": least}
    return {bytes(row.key): row.in_a_row for row in db.execute(FIND_IN_A_ROW, params)}
