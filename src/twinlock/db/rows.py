"""What statements returned, in the words of SQLAlchemy's results."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import CursorResult
from sqlalchemy.exc import MultipleResultsFound, NoResultFound


class Rows:
    """What a statement returned, and how many rows it concerned: as SQLAlchemy's results tell it.

    Attributes:
        rowcount: How many rows were written, or, on PostgreSQL, returned.
    """

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> Sequence[Any]:
        """Return all rows."""
        return self._rows

    def first(self) -> Any:
        """Return the first row, or None."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        """Return the only row, or None where there is none.

        Raises:
            MultipleResultsFound: There are more.
        """
        if len(self._rows) > 1:
            raise MultipleResultsFound("more than one row where there is one at most")
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        """Return the only row.

        Raises:
            NoResultFound: There is none.
            MultipleResultsFound: There are more.
        """
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("no row where there is one")
        return row

    def scalar(self) -> Any:
        """Return the first column of the first row, or None where there is none."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """Return the first column of the only row.

        Raises:
            NoResultFound: There is none.
            MultipleResultsFound: There are more.
        """
        return self.one()[0]

    def scalars(self) -> "Scalars":
        """Return the first column of all rows."""
        return Scalars(row[0] for row in self._rows)


def kept(result: "Rows | CursorResult[Any]") -> Rows:
    """Return what a statement returned so that it can be looked at when the transaction is over.

    What was executed the way of SQLAlchemy is fetched here; what travels to PostgreSQL has its
    answer at the end of the transaction at the latest.
    """
    return result if isinstance(result, Rows) else Rows(result.all(), result.rowcount)


class Awaited(Rows):
    """What a statement will have returned: the first look at it waits for the answer."""

    __slots__ = ("_ask", "_named")

    def __init__(
        self, ask: Callable[[], None], named: Callable[[Sequence[Any]], Sequence[Any]]
    ) -> None:
        """Prepare for the answer.

        Args:
            ask: Returns when the answer has come.
            named: Makes rows of what the driver fetched.
        """
        self._ask = ask
        self._named = named

    def __getattr__(self, name: str) -> Any:
        self._ask()
        return object.__getattribute__(self, name)

    def answer(self, fetched: Sequence[Sequence[Any]], rowcount: int) -> None:
        """Take the answer."""
        self._rows = self._named(fetched)
        self.rowcount = rowcount


class Scalars(list[Any]):
    """One column."""

    def all(self) -> Sequence[Any]:
        """Return all of it."""
        return self
