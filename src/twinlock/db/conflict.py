"""``INSERT … ON CONFLICT``, which SQLite and PostgreSQL spell alike.

SQLAlchemy has one construct per database, and importing PostgreSQL's costs a process that
runs on SQLite a tenth of a second.
"""

from typing import Any

from sqlalchemy import ClauseElement, Insert
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
