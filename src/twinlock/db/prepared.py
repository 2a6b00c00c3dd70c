"""Statements compiled once, that go to the driver by the shortest way.

At each execution SQLAlchemy works out anew what for a constant of a module is always the same:
its cache key, its parameters' places and types, its result's columns. That is most of what the
statements of a login cost. Here it is worked out at the first execution. Rows and errors are
SQLAlchemy's own, and so is the way of whatever is out of the ordinary: several rows at once,
no transaction, a savepoint, somebody listening to events.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Select
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

_MAX_STATEMENTS: Final = 1_000
"""More than there are constants: a statement that is none cannot fill the memory."""

_Statements = dict[tuple[Executable, tuple[str, ...]], "_Prepared | None"]
_prepared: WeakKeyDictionary[Dialect, _Statements] = WeakKeyDictionary()


class PreparedConnection(Connection):
    """A connection that remembers what the statements of this program look like to the driver."""

    def __init__(self, engine: Engine, *arguments: Any, **options: Any) -> None:
        super().__init__(engine, *arguments, **options)
        self._statements = _prepared.setdefault(self.dialect, {})

    def execute(
        self, statement: Executable, parameters: Any = None, **options: Any
    ) -> CursorResult[Any]:
        """Execute *statement* as SQLAlchemy does."""
        if parameters is None:
            parameters = {}
        if not options and isinstance(parameters, dict) and self._is_ordinary():
            prepared = self._find(statement, parameters)
            if prepared is not None:
                return cast("CursorResult[Any]", prepared.run(self, parameters))
        return super().execute(statement, parameters or None, **options)

    def _is_ordinary(self) -> bool:
        return (
            self.in_transaction()
            and not self.in_nested_transaction()
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


class _Result(IteratorResult[Any]):
    """Rows that were fetched already."""

    rowcount: int


class _Prepared:
    """One statement in the driver's words."""

    def __init__(self, compiled: SQLCompiler, keys: tuple[str, ...], dialect: Dialect) -> None:
        given = {key: _Given(key) for key in keys}
        processors = compiled._bind_processors
        places = compiled.construct_params(given, escape_names=False)
        names = compiled.positiontup if compiled.positional else list(places)
        self._sql = compiled.string
        self._names = None if compiled.positional else tuple(names or ())
        self._values = tuple(_value(places[name], processors.get(name)) for name in names or ())
        self._metadata = _metadata(compiled, dialect)
        self._returns_rows = bool(compiled._result_columns)

    def run(self, connection: Connection, parameters: Mapping[str, Any]) -> _Result:
        """Execute the statement and fetch what it returns."""
        values: Any = [value(parameters) for value in self._values]
        if self._names is not None:
            values = dict(zip(self._names, values, strict=True))
        rows: Sequence[Any] = ()
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._sql, values)
            if self._returns_rows:
                rows = cursor.fetchall()
            count = cursor.rowcount
            cursor.close()
        except connection.dialect.loaded_dbapi.Error as error:
            connection._handle_dbapi_exception(error, self._sql, values, cursor, None)
        result = _Result(self._metadata, iter(rows))
        result.rowcount = count
        return result


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


def _value(place: Any, processor: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return what takes a parameter, or a constant of the statement, as the driver wants it."""
    if not isinstance(place, _Given):
        constant = processor(place) if processor else place
        return lambda parameters: constant
    key = str(place)
    if processor is None:
        return lambda parameters: parameters[key]
    return lambda parameters: processor(parameters[key])


def _metadata(compiled: SQLCompiler, dialect: Dialect) -> SimpleResultMetaData:
    columns = compiled._result_columns
    processors = [
        column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
    ]
    return SimpleResultMetaData([column.keyname for column in columns], _processors=processors)
