"""Reading users out of a file: Python, JSON, JSON lines or CSV, as records that mean nothing yet.

A record that cannot be read is given as `Unreadable` and the rest goes on, so that none is lost
unnoticed. CSV and JSON lines are read line by line, in memory that does not grow with the file.
"""

import ast
import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeGuard

VARIABLE: Final = "fake_users_db"
"""The dict of FastAPI's security tutorial."""
COMPUTED: Final = object()
"""Stands for a value that is an expression of a program: nothing of a file is ever run."""

_MAX_WHOLE_BYTES: Final = 64 * 1024 * 1024
_MAX_LINE_BYTES: Final = 1024 * 1024
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DELIMITERS: Final = ",;\t"


class Format(StrEnum):
    """What a file can be."""

    AUTO = "auto"
    PYTHON = "python"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Found:
    """A record as the file has it.

    Attributes:
        place: Where it stands, for people: ``line 12``.
        name: The key that it stands under, where it stands under one.
        fields: Its values; `COMPUTED` where the file would compute one.
    """

    place: str
    name: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something in a record's place that is none."""

    place: str
    name: str | None
    reason: str


class FileProblemError(Exception):
    """The file as a whole, or all that is left of it, cannot be read."""


Records = Iterator[Found | Unreadable]
Progress = Callable[[float], None]


def format_of(path: Path, asked: Format) -> Format:
    """Return the format that was asked for, or the one that the file's name tells."""
    if asked is not Format.AUTO:
        return asked
    match path.suffix.lower():
        case ".py":
            return Format.PYTHON
        case ".json":
            return Format.JSON
        case ".jsonl" | ".ndjson":
            return Format.JSONL
        case ".csv" | ".tsv":
            return Format.CSV
        case _:
            raise FileProblemError("The name of the file does not tell its format: add --format.")


def read_records(path: Path, format_: Format, progress: Progress) -> Records:
    """Give the records of a file one by one.

    Args:
        path: The file.
        format_: Its format, not `Format.AUTO`.
        progress: Is told which fraction of the file has been given.

    Raises:
        FileProblemError: The file, or the rest of it, cannot be read; what was given before
            still counts.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) in _UTF_16:
                raise FileProblemError("The file is UTF-16. Save it as UTF-8.")
            file.seek(0)
            size = max(1, path.stat().st_size)
            match format_:
                case Format.CSV:
                    yield from _read_csv(_lines(file, lambda at: progress(at / size)))
                case Format.JSONL:
                    yield from _read_json_lines(_lines(file, lambda at: progress(at / size)))
                case Format.PYTHON:
                    yield from _counted(_read_python(_whole(file)), progress)
                case _:
                    yield from _counted(_read_json(_whole(file)), progress)
    except OSError as error:
        raise FileProblemError(f"The file cannot be read: {error.strerror}.") from error


def _whole(file: BinaryIO) -> str:
    raw = file.read(_MAX_WHOLE_BYTES + 1)
    if len(raw) > _MAX_WHOLE_BYTES:
        raise FileProblemError(
            f"The file is larger than {_MAX_WHOLE_BYTES // 1024**2} MiB. Make it CSV or JSON "
            "lines, which are read line by line."
        )
    return raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _lines(file: BinaryIO, at: Callable[[int], None]) -> Iterator[str]:
    """Give lines; bytes that are no UTF-8 become surrogates, which no name may contain."""
    number = 0
    while raw := file.readline(_MAX_LINE_BYTES):
        number += 1
        if len(raw) == _MAX_LINE_BYTES and not raw.endswith(b"\n"):
            longest = _MAX_LINE_BYTES // 1024
            raise FileProblemError(
                f"Line {number} is longer than {longest} KiB; it and all after it were not read."
            )
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield raw.decode("utf-8", "surrogateescape")
        at(file.tell())


def _counted(records: Sequence[Found | Unreadable], progress: Progress) -> Records:
    for number, record in enumerate(records, start=1):
        yield record
        progress(number / len(records))


def _read_csv(lines: Iterator[str]) -> Records:
    heading = next(lines, "")
    delimiter = max(_DELIMITERS, key=heading.count)
    names = [name.strip() for name in next(csv.reader([heading], delimiter=delimiter), [])]
    if len(set(names)) != len(names):
        raise FileProblemError("The heading of the file names a column twice.")
    if "username" not in names:
        raise FileProblemError("The first line of the file names no column `username`.")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins_at = reader.line_num + 2  # counted from the line after the heading
        place = f"line {begins_at}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield Unreadable(_span(begins_at, reader.line_num + 1), None, f"CSV: {error}.")
            continue
        if row is None:
            return
        if not row:
            continue  # an empty line
        if len(row) != len(names):
            reason = f"It has {len(row)} columns and the heading {len(names)}."
            yield Unreadable(_span(begins_at, reader.line_num + 1), None, reason)
        else:
            yield Found(place, None, dict(zip(names, row, strict=True)))


def _span(first: int, last: int) -> str:
    return f"line {first}" if last <= first else f"lines {first} to {last}"


def _read_json_lines(lines: Iterator[str]) -> Records:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"line {number}"
            try:
                yield _record(place, None, _parsed(line))
            except ValueError as error:
                yield Unreadable(place, None, f"It is not JSON: {error}.")


def _read_json(text: str) -> Sequence[Found | Unreadable]:
    """Return the records of an object of users by name, or of a list."""
    first, _, rest = text.lstrip().partition("\n")
    if rest.lstrip().startswith("{") and first.rstrip().endswith("}"):
        return list(_read_json_lines(iter(text.split("\n"))))
    try:
        parsed = _parsed(text)
    except ValueError as error:
        raise FileProblemError(f"The file is not JSON: {error}.") from error
    match parsed:
        case list():
            return [
                _record(f"record {number}", None, one) for number, one in enumerate(parsed, start=1)
            ]
        case _Object() if {"username", "email"} & set(parsed.names):
            return [_record("record 1", None, parsed)]
        case _Object():
            pairs = enumerate(parsed.pairs, start=1)
            return [_record(f"record {number}", name, one) for number, (name, one) in pairs]
        case _:
            raise FileProblemError("The file holds neither a list nor an object of users.")


class _Object:
    """A JSON object as written: nothing is lost where a name comes twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.pairs]


def _parsed(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is none, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _record(place: str, name: str | None, parsed: Any) -> Found | Unreadable:
    if not isinstance(parsed, _Object):
        return Unreadable(place, name, "It is no object with fields.")
    if len(set(parsed.names)) != len(parsed.names):
        return Unreadable(place, name, "It names a field twice.")
    return Found(place, name, dict(parsed.pairs))


def _read_python(text: str) -> Sequence[Found | Unreadable]:
    """Return the records of a literal in a program, which is read and never run."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise FileProblemError(f"The file is not Python{where}.") from error
    match _value_of_variable(tree):
        case ast.Dict(keys=keys, values=values):
            return [_entry(key, value) for key, value in zip(keys, values, strict=True)]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_entry(None, element) for element in elements]
        case _:
            raise FileProblemError(
                f"The file has no `{VARIABLE} = {{…}}` with its users written out. The program "
                "is never run: write the users into a JSON or CSV file instead."
            )


def _value_of_variable(tree: ast.Module) -> ast.expr | None:
    """Return what is assigned to the variable last, at the top level of the program."""
    value: ast.expr | None = None
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=targets, value=assigned):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as assigned):
                names = [name]
            case _:
                continue
        if VARIABLE in names:
            value = assigned
    return value


def changes_elsewhere(path: Path) -> list[int]:
    """Return the lines on which a program adds users by code, which is not run: for a warning."""
    try:
        tree = ast.parse(path.read_text("utf-8", "surrogateescape"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return sorted({node.lineno for node in ast.walk(tree) if _is_change(node)})


def _is_change(node: ast.AST) -> TypeGuard[ast.expr | ast.stmt]:
    match node:
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name == VARIABLE
        case ast.AugAssign(target=ast.Name(id=name)):
            return name == VARIABLE
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
            return name == VARIABLE and method in {"update", "setdefault", "append", "extend"}
        case _:
            return False


def _entry(key: ast.expr | None, value: ast.expr) -> Found | Unreadable:
    place = f"line {(key or value).lineno}"
    name = _literal(key) if key is not None else None
    if name is not None and not isinstance(name, str):
        return Unreadable(place, None, "Its name is computed, and the program is never run.")
    if not isinstance(value, ast.Dict):
        return Unreadable(place, name, "It is not written out, and the program is never run.")
    fields: dict[str, Any] = {}
    for field_key, field_value in zip(value.keys, value.values, strict=True):
        field = _literal(field_key) if field_key is not None else COMPUTED
        if not isinstance(field, str):
            return Unreadable(place, name, "A field's name is computed; the program is never run.")
        if field in fields:
            return Unreadable(place, name, "It names a field twice.")
        fields[field] = _literal(field_value)
    return Found(place, name, fields)


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal, or `COMPUTED`."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return COMPUTED
