"""How statements and their values are worded for PostgreSQL; needs no driver."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import LargeBinary
from sqlalchemy.types import TypeEngine

FORGOTTEN: Final = frozenset({"26000", "0A000"})
"""What a server says of a prepared statement that it knows no more, or whose table changed."""
_TEXT: Final = 0
_BINARY: Final = 1
_BYTEA_OID: Final = 17
_ANY_OID: Final = 0
_PLACE: Final = re.compile(r"%%|%\(([^)]+)\)s")

_numbers = itertools.count(1)


def _text(value: str) -> bytes | None:
    """Return a text as it travels; None for one with NUL, which would end there unnoticed."""
    return None if "\0" in value else value.encode()


_WRITERS: Final[Mapping[type, Callable[[Any], bytes | None]]] = {
    str: _text,
    int: lambda value: b"%d" % value,
    bool: lambda value: b"t" if value else b"f",
    datetime: lambda value: value.isoformat(" ").encode(),
}


class Wording:
    """One statement in PostgreSQL's words.

    Attributes:
        names: Which parameter stands in each place.
    """

    def __init__(self, sql: str, types: Mapping[str, TypeEngine[Any]]) -> None:
        """Give the places of *sql* numbers, which it names as ``%(name)s``."""
        numbers: dict[str, int] = {}

        def numbered(place: re.Match[str]) -> str:
            if place[1] is None:
                return "%"
            return f"${numbers.setdefault(place[1], len(numbers) + 1)}"

        self.text = sql
        self.sql = _PLACE.sub(numbered, sql).encode()
        self.key = b"twinlock_%d" % next(_numbers)
        self.names = tuple(numbers)
        self._are_bytes = [isinstance(types[name], LargeBinary) for name in self.names]
        self.oids = [_BYTEA_OID if is_bytes else _ANY_OID for is_bytes in self._are_bytes]
        self.formats = [_BINARY if is_bytes else _TEXT for is_bytes in self._are_bytes]

    def written(self, values: Sequence[Any]) -> list[bytes | None] | None:
        """Return *values* as they travel; None where one is of a kind that psycopg must write."""
        written: list[bytes | None] = []
        for value, is_bytes in zip(values, self._are_bytes, strict=True):
            if value is None:
                written.append(None)
                continue
            told = value if is_bytes and type(value) is bytes else None
            if not is_bytes:
                write = _WRITERS.get(type(value)) or (_text if isinstance(value, str) else None)
                told = None if write is None else write(value)
            if told is None:
                return None
            written.append(told)
        return written


class Letter:
    """One statement with its values, that is still to be sent or answered."""

    __slots__ = ("answered", "values", "wording")

    def __init__(
        self,
        wording: Wording,
        values: list[bytes | None],
        answered: Callable[[Sequence[Sequence[Any]], int], None],
    ) -> None:
        self.wording = wording
        self.values = values
        self.answered = answered


class RefusedError(Exception):
    """The server, or the way there, refused a statement; the cause is the driver's own error."""

    def __init__(self, cause: Exception, sql: str) -> None:
        super().__init__(sql)
        self.cause = cause
        self.sql = sql
