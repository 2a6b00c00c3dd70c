"""The one `MetaData` on which every block declares its tables."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Index, MetaData

_WHERE: Final = "twinlock_where"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Named constraints, so that a batch migration on SQLite can drop them by name."""


def partial_index(
    name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False
) -> Index:
    """Return an index of only those rows for which *where* holds.

    Said in SQLAlchemy's own words (``sqlite_where``, ``postgresql_where``) it would load every
    driver's dialect with the table, and that costs as much as a third of SQLAlchemy.
    """
    return Index(name, *columns, unique=unique, info={_WHERE: where})


def tell_dialects() -> None:
    """Say the condition of each partial index in SQLAlchemy's words: for comparing, for DDL."""
    for table in metadata.tables.values():
        for index in table.indexes:
            where = index.info.get(_WHERE)
            if where is not None:
                index.dialect_kwargs.update(sqlite_where=where, postgresql_where=where)
