"""``INSERT … ON CONFLICT``, which SQLite and PostgreSQL spell alike.

SQLAlchemy has one construct per database, and importing PostgreSQL's costs a process that
runs on SQLite a tenth of a second.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import SyntaxExtension
from sqlalchemy.sql.visitors import InternalTraversal


class on_conflict(SyntaxExtension, ClauseElement):  # noqa: N801 - spelled like the clause it is
    """The end of an INSERT: ``insert(table).ext(on_conflict("DO NOTHING"))``.

    Args:
        then: What follows ``ON CONFLICT``; a constant of the program, never from outside.
    """

    _traverse_internals = [("then", InternalTraversal.dp_string)]  # noqa: RUF012 - the base's form

    def __init__(self, then: str) -> None:
        self.then = then

    def apply_to_insert(self, insert_stmt: Insert) -> None:
        """Take the place after the values."""
        insert_stmt.apply_syntax_extension_point(lambda existing: [*existing, self], "post_values")


@compiles(on_conflict)
def _on_conflict(element: on_conflict, compiler: Any, **kwargs: Any) -> str:
    return f"ON CONFLICT {element.then}"


class on_conflict_update(SyntaxExtension, ClauseElement):  # noqa: N801 - likewise
    """The end of an INSERT that becomes an UPDATE where the row is there already.

    Args:
        index: The columns of the unique index.
        set_: Column names and what they become; ``excluded`` is the row that was to be inserted.
        where: Which rows are updated; the others are left alone.
    """

    _traverse_internals = [  # noqa: RUF012 - the base's form
        ("index", InternalTraversal.dp_string),
        ("columns", InternalTraversal.dp_string_list),
        ("values", InternalTraversal.dp_clauseelement_list),
        ("where", InternalTraversal.dp_clauseelement),
    ]

    def __init__(
        self,
        *index: ColumnElement[Any],
        set_: Mapping[str, ColumnElement[Any]],
        where: ColumnElement[bool],
    ) -> None:
        self.index = ", ".join(column.key for column in index if column.key)
        self.columns = list(set_)
        self.values = list(set_.values())
        self.where = where

    def apply_to_insert(self, insert_stmt: Insert) -> None:
        """Take the place after the values."""
        insert_stmt.apply_syntax_extension_point(lambda existing: [*existing, self], "post_values")


@compiles(on_conflict_update)
def _on_conflict_update(element: on_conflict_update, compiler: Any, **kwargs: Any) -> str:
    options = kwargs | {"include_table": True, "use_schema": False}
    pairs = zip(element.columns, element.values, strict=True)
    changes = ", ".join(f"{name} = {compiler.process(value, **options)}" for name, value in pairs)
    condition = compiler.process(element.where, **options)
    return f"ON CONFLICT ({element.index}) DO UPDATE SET {changes} WHERE {condition}"
