"""Column types and expressions that mean the same on SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import DateTime, Dialect, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

from twinlock.core.errors import DamagedRowError

_UTC_LENGTH: Final = len("+00:00")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, stored in UTC; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC on the way in."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a timezone cannot be stored")
        return value if value.tzinfo is UTC else value.astimezone(UTC)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """Return what writes a moment for SQLite, which keeps it as text, in one call."""
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)

        last: tuple[datetime | None, str | None] = (
            None,
            None,
        )  # the same moment goes to many columns

        def text_of(value: datetime | None) -> str | None:
            nonlocal last
            known, text = last
            if value is known:
                return text
            moment = self.process_bind_param(value, dialect)
            text = None if moment is None else moment.isoformat(" ", "microseconds")[:-_UTC_LENGTH]
            last = value, text
            return text

        return text_of

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], datetime | None] | None:
        """Return what reads a moment from SQLite's text in one call."""
        if dialect.name != "sqlite":
            return super().result_processor(dialect, coltype)

        def moment_of(text: str | None) -> datetime | None:
            if text is None:
                return None
            try:  # `replace` would take six times as long as reading
                return datetime.fromisoformat(text + "+00:00")
            except (TypeError, ValueError) as error:
                raise DamagedRowError("a moment that is no moment") from error

        return moment_of

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware moment in UTC: SQLite gives a naive one, PostgreSQL its own zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = String(32)
"""A row's or an account's id: 32 hex digits."""


class database_now(FunctionElement[datetime]):  # noqa: N801 - a SQL function is spelled like one
    """The database's own clock, the same for every host, and moving inside a transaction."""

    type = UtcDateTime()
    inherit_cache = True


class half_a_minute_ago(FunctionElement[datetime]):  # noqa: N801 - likewise
    """Thirty seconds before `database_now`: how late a commit may be and still be seen."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(database_now)
def _now(element: database_now, compiler: Any, **kwargs: Any) -> str:
    return "clock_timestamp()"


@compiles(half_a_minute_ago)
def _ago(element: half_a_minute_ago, compiler: Any, **kwargs: Any) -> str:
    # When the statement came in: with what may move no index could be used, and of a subquery a
    # third of all rows is expected, so that a large table would be read as a whole.
    return "(statement_timestamp() - interval '30 seconds')"


# On SQLite, the text form of SQLAlchemy's own DateTime, so that both compare as text.


@compiles(database_now, "sqlite")
def _sqlite_now(element: database_now, compiler: Any, **kwargs: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


@compiles(half_a_minute_ago, "sqlite")
def _sqlite_ago(element: half_a_minute_ago, compiler: Any, **kwargs: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 seconds') || '000')"
