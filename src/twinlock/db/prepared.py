"""Statements compiled once, that go to the driver by the shortest way.

At each execution SQLAlchemy works out anew what for a constant of a module is always the same:
its cache key, its parameters' places and types, its result's columns. Around them it keeps books
on transactions, pools and results for whoever may want to look. That is most of what the
statements of a login cost. Here it is worked out at the first execution, transactions are begun
and ended in the driver's words, and rows are tuples with names. Errors are SQLAlchemy's own, and
so is the way of whatever is out of the ordinary: several rows at once, a savepoint, somebody
listening to events.
"""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, Dialect, Engine, RootTransaction, Select
from sqlalchemy.exc import MultipleResultsFound, NoResultFound, SQLAlchemyError
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

_MAX_STATEMENTS: Final = 1_000
"""More than there are constants: a statement that is none cannot fill the memory."""

_Statements = dict[tuple[Executable, tuple[str, ...]], "_Prepared | None"]
_prepared: WeakKeyDictionary[Dialect, _Statements] = WeakKeyDictionary()


class PreparedConnection(Connection):
    """A connection that remembers what the statements of this program look like to the driver.

    It stays open from one transaction to the next. Those that `begin_work` begins are unknown to
    SQLAlchemy, unless a statement goes its way: then it believes to have begun one, inside.
    """

    def __init__(self, engine: Engine, *arguments: Any, **options: Any) -> None:
        super().__init__(engine, *arguments, **options)
        self._statements = _prepared.setdefault(self.dialect, {})
        self._errors = self.dialect.loaded_dbapi.Error
        self._driver: Any = self.connection.dbapi_connection
        self.is_at_work = False
        self.notes: list[object] = []

    def begin_work(self, words: str | None, notes: list[object]) -> None:
        """Begin a transaction.

        Args:
            words: How the database is told; None where the driver does it by itself.
            notes: Where it leaves what is to be told when it is committed.
        """
        self.notes = notes
        self.is_at_work = True
        if words is not None:
            cursor = self._driver.cursor()
            try:
                cursor.execute(words)
            except self._errors as error:
                self._handle_dbapi_exception(error, words, None, cursor, None)

    def commit_work(self) -> bool:
        """Commit what `begin_work` began; tell that the connection is as good as new."""
        if self._transaction is not None:
            self.commit()
        else:
            try:
                self._driver.commit()
            except self._errors as error:
                self._handle_dbapi_exception(error, None, None, None, None)
        self.is_at_work = False
        return True

    def undo_work(self) -> bool:
        """Roll back what `begin_work` began; tell whether the connection is as good as new."""
        try:
            if self._transaction is not None:
                self._transaction.close()
            self._driver.rollback()
        except (SQLAlchemyError, self._errors):
            return False
        self.is_at_work = False
        return self._transaction is None and not self.invalidated

    def in_transaction(self) -> bool:
        """Tell whether a transaction was begun, by whomever."""
        return self.is_at_work or super().in_transaction()

    def _begin_impl(self, transaction: RootTransaction) -> None:
        if not self.is_at_work:
            super()._begin_impl(transaction)

    def execute(
        self, statement: Executable, parameters: Any = None, **options: Any
    ) -> CursorResult[Any]:
        """Execute *statement* as SQLAlchemy does."""
        if parameters is None:
            parameters = {}
        if not options and isinstance(parameters, dict) and self._is_ordinary():
            prepared = self._find(statement, parameters)
            if prepared is not None:
                return cast("CursorResult[Any]", self._run(prepared, parameters))
        return super().execute(statement, parameters or None, **options)

    def _is_ordinary(self) -> bool:
        return (
            self.is_at_work
            and self._nested_transaction is None
            and not (self._has_events or self.engine._has_events or self.dialect._has_events)
        )

    def _find(self, statement: Executable, parameters: Mapping[str, Any]) -> "_Prepared | None":
        key = statement, tuple(parameters)
        if key in self._statements:
            return self._statements[key]
        if len(self._statements) >= _MAX_STATEMENTS:
            return None
        prepared = self._statements[key] = _prepare(*key, self.dialect)
        return prepared

    def _run(self, prepared: "_Prepared", parameters: Mapping[str, Any]) -> "Rows":
        """Execute a statement and fetch what it returns."""
        values = prepared.values_of(parameters)
        cursor = self._driver.cursor()
        try:
            cursor.execute(prepared.sql, values)
            rows = prepared.rows_of(cursor.fetchall()) if prepared.returns_rows else []
            count = cursor.rowcount
            cursor.close()
        except self._errors as error:
            self._handle_dbapi_exception(error, prepared.sql, values, cursor, None)
        return Rows(rows, count)


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


_NamedTuple: Callable[..., Any] = collections.namedtuple  # noqa: PYI024 - names known late


class Scalars(list[Any]):
    """One column."""

    def all(self) -> Sequence[Any]:
        """Return all of it."""
        return self


class _Prepared:
    """One statement in the driver's words."""

    def __init__(self, compiled: SQLCompiler, keys: tuple[str, ...], dialect: Dialect) -> None:
        given = {key: _Given(key) for key in keys}
        processors: Mapping[str, Any] = compiled._bind_processors
        places = compiled.construct_params(given, escape_names=False)
        names = tuple((compiled.positiontup if compiled.positional else list(places)) or ())
        self.sql = compiled.string
        self._names = None if compiled.positional else names
        self._values = tuple(_value(places[name], processors.get(name)) for name in names)
        self.returns_rows = bool(compiled._result_columns)
        columns = compiled._result_columns
        self._row = _row_maker([column.keyname for column in columns])
        found = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]
        self._read = [(at, read) for at, read in enumerate(found) if read is not None]

    def values_of(self, parameters: Mapping[str, Any]) -> Any:
        """Return the parameters, and the constants of the statement, as the driver wants them."""
        values = [
            value if key is None else parameters[key] if write is None else write(parameters[key])
            for key, write, value in self._values
        ]
        return values if self._names is None else dict(zip(self._names, values, strict=True))

    def rows_of(self, fetched: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return what the driver fetched as rows with names, each value as its column means it."""
        if not self._read:
            return [self._row(row) for row in fetched]
        rows = []
        for row in fetched:
            values = list(row)
            for at, read in self._read:
                values[at] = read(values[at])
            rows.append(self._row(values))
        return rows


class _Given(str):
    """Stands for a parameter while the places of parameters are looked for."""

    __slots__ = ()


def _prepare(statement: Executable, keys: tuple[str, ...], dialect: Dialect) -> _Prepared | None:
    """Return the statement prepared, or None where SQLAlchemy does more than execute it."""
    if not isinstance(statement, Select | UpdateBase):
        return None
    compiled = statement.compile(dialect=dialect, column_keys=list(keys))
    is_more = (
        compiled.post_compile_params
        or compiled.literal_execute_params
        or compiled.insert_prefetch
        or compiled.update_prefetch
        or compiled.implicit_returning
        or compiled.escaped_bind_names
    )
    return None if is_more else _Prepared(compiled, keys, dialect)


def _value(place: Any, write: Callable[[Any], Any] | None) -> tuple[str | None, Any, Any]:
    """Return a parameter's key and what writes it, or a constant of the statement as written."""
    if isinstance(place, _Given):
        return str(place), write, None
    return None, None, write(place) if write else place


def _row_maker(names: list[str]) -> Callable[[Sequence[Any]], Any]:
    """Return what makes a row of values: a tuple, with its columns as attributes."""
    base: Any = _NamedTuple("Row", names, rename=True)

    class Row(base):  # type: ignore[misc]
        """One row."""

        __slots__ = ()

        @property
        def _mapping(self) -> dict[str, Any]:
            return dict(zip(names, self, strict=True))

    return partial(tuple.__new__, Row)
