"""Statements compiled once, that go to the driver by the shortest way.

At each execution SQLAlchemy works out anew what for a constant of a module is always the same:
its cache key, its parameters' places and types, its result's columns. Around them it keeps books
on transactions, pools and results for whoever may want to look. That is most of what the
statements of a login cost. Here it is worked out at the first execution, transactions are begun
and ended in the driver's words, and rows are tuples with names. Errors are SQLAlchemy's own, and
so is the way of whatever is out of the ordinary: several rows at once, a savepoint, somebody
listening to events. To PostgreSQL statements travel together; see `wire.py`.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import (
    Connection,
    CursorResult,
    Dialect,
    Engine,
    LargeBinary,
    NestedTransaction,
    RootTransaction,
    Select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from twinlock.db.rows import Awaited, Rows
from twinlock.db.wording import Letter, RefusedError, Wording

if TYPE_CHECKING:
    from twinlock.db.wire import Wire

_MAX_STATEMENTS: Final = 1_000
"""More than there are constants: a statement that is none cannot fill the memory."""

_Statements = dict[tuple[Executable, tuple[str, ...]], "_Prepared | None"]
_STATEMENTS: Final = "twinlock_statements"
"""Where an engine keeps its own. They know its dialect, which SQLAlchemy may keep for longer: a
table of all engines would hold each for as long as the process runs."""


class PreparedConnection(Connection):
    """A connection that remembers what the statements of this program look like to the driver.

    It stays open from one transaction to the next. Those that `begin_work` begins are unknown to
    SQLAlchemy, unless a statement goes its way: then it believes to have begun one, inside.
    """

    def __init__(self, engine: Engine, *arguments: Any, **options: Any) -> None:
        super().__init__(engine, *arguments, **options)
        self._statements: _Statements = vars(engine).setdefault(_STATEMENTS, {})
        self._errors = self.dialect.loaded_dbapi.Error
        self._driver: Any = self.connection.dbapi_connection
        self._wire = self._make_wire()
        self.is_at_work = False
        self.notes: list[object] = []

    def _make_wire(self) -> "Wire | None":
        """Return the short way to the server, where there is one."""
        if self.dialect.driver != "psycopg":
            return None
        from twinlock.db.wire import Wire  # psycopg is no dependency of who runs on SQLite

        return Wire(self._driver)

    def begin_work(self, words: str | None, notes: list[object]) -> None:
        """Begin a transaction.

        Args:
            words: How the database is told; None where the driver does it by itself.
            notes: Where it leaves what is to be told when it is committed.
        """
        self.notes = notes
        self.is_at_work = True
        if self._wire is not None:
            self._wire.begin()
        if words is not None:
            cursor = self._driver.cursor()
            try:
                cursor.execute(words)
            except self._errors as error:
                self._handle_dbapi_exception(error, words, None, cursor, None)

    def reach_server(self) -> None:
        """Find out, before a commit is sent, whether anybody is there."""
        if self._wire is not None:
            self._travel(self._wire.reach)

    def commit_work(self) -> bool:
        """Commit what `begin_work` began; tell that the connection is as good as new."""
        if self._transaction is not None:
            self._send_waiting()
            self.commit()
        elif self._wire is not None:
            self._travel(self._wire.commit)
        else:
            try:
                self._driver.commit()
            except self._errors as error:
                self._handle_dbapi_exception(error, None, None, None, None)
        self.is_at_work = False
        return True

    def end_reading(self) -> bool:
        """End what wrote nothing; tell whether the connection is as good as new.

        What waits to be sent travels with the end, and has its answer afterwards.
        """
        if self._wire is not None and self._transaction is None:
            self._travel(self._wire.end_reading)
        else:
            self._send_waiting()
        return self.undo_work()

    def undo_work(self) -> bool:
        """Roll back what `begin_work` began; tell whether the connection is as good as new."""
        try:
            if self._transaction is not None:
                self._transaction.close()
            if self._wire is None:
                self._driver.rollback()
            elif self._wire.is_torn:
                return False
            else:
                self._travel(self._wire.undo)
        except (SQLAlchemyError, self._errors):
            return False
        self.is_at_work = False
        return self._transaction is None and not self.invalidated

    def begin_nested(self) -> NestedTransaction:
        """Begin a savepoint, behind what was executed before it."""
        self._send_waiting()
        return super().begin_nested()

    def exec_driver_sql(self, *arguments: Any, **options: Any) -> CursorResult[Any]:
        """Execute the driver's own words, behind what was executed before them."""
        self._send_waiting()
        return super().exec_driver_sql(*arguments, **options)

    def begin_turn(self) -> None:
        """Begin what may be undone alone, on SQLite; see `shared_commit.py`."""
        self._tell("SAVEPOINT twinlock_turn")

    def end_turn(self, *, is_kept: bool) -> bool:
        """Keep or undo what `begin_turn` began; tell whether what came before is still there."""
        if not self._driver.in_transaction:
            return False
        if not is_kept:
            self._tell("ROLLBACK TO twinlock_turn")
        self._tell("RELEASE twinlock_turn")
        return True

    def _tell(self, words: str) -> None:
        """Have the driver execute words without values."""
        try:
            self._driver.execute(words)
        except self._errors as error:
            self._handle_dbapi_exception(error, words, None, None, None)

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
        is_ordinary = (
            self.is_at_work
            and not options
            and isinstance(parameters, dict)
            and self._nested_transaction is None
            and not (self._has_events or self.engine._has_events or self.dialect._has_events)
        )
        if is_ordinary:
            key = statement, tuple(parameters)
            prepared = self._statements.get(key) or self._prepare(key)
            if prepared is not None:
                return cast("CursorResult[Any]", self._run(prepared, parameters))
        self._send_waiting()
        return super().execute(statement, parameters or None, **options)

    def _prepare(self, key: tuple[Executable, tuple[str, ...]]) -> "_Prepared | None":
        if key in self._statements or len(self._statements) >= _MAX_STATEMENTS:
            return None
        prepared = self._statements[key] = _prepare(*key, self.dialect)
        return prepared

    def _run(self, prepared: "_Prepared", parameters: Mapping[str, Any]) -> "Rows":
        """Execute a statement and fetch what it returns."""
        if self._wire is not None:
            awaited = self._put(self._wire, prepared, parameters)
            if awaited is not None:
                return awaited
        values: Any = prepared.listed(parameters)
        if not prepared.is_positional:
            values = dict(zip(prepared.names, values, strict=True))
        try:
            cursor = self._driver.execute(prepared.sql, values)
            rows = prepared.rows_of(cursor.fetchall()) if prepared.returns_rows else []
            return Rows(rows, cursor.rowcount)
        except self._errors as error:
            self._handle_dbapi_exception(error, prepared.sql, values, None, None)

    def _put(
        self, wire: "Wire", prepared: "_Prepared", parameters: Mapping[str, Any]
    ) -> "Rows | None":
        """Have a statement travel with the next exchange; None where psycopg must write it."""
        wording = prepared.wording
        values = wording.written(prepared.listed(parameters))
        if values is None:
            self._send_waiting()
            return None
        awaited = Awaited(self._send_waiting, prepared.rows_of)
        self._travel(partial(wire.put, Letter(wording, values, awaited.answer)))
        return awaited

    def _send_waiting(self) -> None:
        """Send what was executed and waits; the answers go where they are awaited."""
        if self._wire is not None and self._wire.has_letters:
            self._travel(self._wire.exchange)

    def _travel(self, way: Callable[[], None]) -> None:
        try:
            way()
        except RefusedError as refused:
            self._handle_dbapi_exception(refused.cause, refused.sql, None, None, None)


_NamedTuple: Callable[..., Any] = collections.namedtuple  # noqa: PYI024 - names known late


class _Prepared:
    """One statement in the driver's words."""

    def __init__(self, compiled: SQLCompiler, keys: tuple[str, ...], dialect: Dialect) -> None:
        given = {key: _Given(key) for key in keys}
        places = compiled.construct_params(given, escape_names=False)
        types = {name: bind.type for bind, name in compiled.bind_names.items()}
        self.sql = compiled.string
        self.is_positional = compiled.positional
        if dialect.driver == "psycopg":
            self.wording = Wording(self.sql, types)
            names = self.wording.names
        else:
            names = tuple((compiled.positiontup if compiled.positional else list(places)) or ())
        self.names = names
        self._list = _lister([places[name] for name in names])
        processors: Mapping[str, Any] = compiled._bind_processors
        writers = [_writer(types[name], processors.get(name)) for name in names]
        self._write = [(at, write) for at, write in enumerate(writers) if write is not None]
        self.returns_rows = bool(compiled._result_columns)
        columns = compiled._result_columns
        self._row = _row_maker([column.keyname for column in columns])
        found = [_reader(column.type, dialect) for column in columns]
        self._read = [(at, read) for at, read in enumerate(found) if read is not None]

    def listed(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the parameters, and the constants of the statement, in their places."""
        values = self._list(parameters)
        for at, write in self._write:
            values[at] = write(values[at])
        return values

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


def _lister(places: Sequence[Any]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Return what lists the values of *places*: parameters by their keys, and constants."""
    constants = [(at, place) for at, place in enumerate(places) if not isinstance(place, _Given)]
    keys = [str(place) for place in places if isinstance(place, _Given)]
    if not keys:
        return lambda parameters: list(places)
    get = itemgetter(*keys)

    def listed(parameters: Mapping[str, Any]) -> list[Any]:
        found = get(parameters)
        values = list(found) if len(keys) > 1 else [found]
        for at, constant in constants:
            values.insert(at, constant)
        return values

    return listed


def _writer(
    kind: TypeEngine[Any], write: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    """Return what writes a value for the driver; all of them take bytes as they are."""
    return None if isinstance(kind, LargeBinary) else write


def _reader(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """Return what reads a value of the driver; all of them give bytes as they are."""
    if isinstance(kind, LargeBinary):
        return None
    return kind.dialect_impl(dialect).result_processor(dialect, None)


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
