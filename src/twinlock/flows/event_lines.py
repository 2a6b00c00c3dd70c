"""Events as lines, for programs and for spreadsheets: nothing in one of them is a command."""

import csv
import io
import json
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from twinlock.audit.store import details_of

COLUMNS: Final = (
    "id", "at", "type", "subject", "actor", "reason", "method", "session_id", "ip", "user_agent",
    "count", "details",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""OWASP, CSV injection: the wide ones count as the narrow ones in some languages."""


def facts_of(row: Row[Any]) -> dict[str, Any]:
    """Return what an event says, by the names of its columns."""
    return {
        "id": row.id,
        "at": row.at,
        "type": row.type,
        "subject": row.subject_id,
        "actor": row.actor,
        "reason": row.reason,
        "method": row.method,
        "session_id": row.session_id,
        "ip": row.ip,
        "user_agent": row.user_agent,
        "count": row._mapping["count"],
        "details": details_of(row),
    }


def json_line(row: Row[Any]) -> str:
    """Return an event as a line of JSON, in ASCII."""
    return json.dumps(facts_of(row), default=_moment) + "\n"


def csv_heading() -> str:
    """Return the first line of a table of events."""
    return _line(COLUMNS)


def csv_line(row: Row[Any]) -> str:
    """Return an event as a line of a table."""
    facts = facts_of(row)
    return _line([csv_cell(facts[column]) for column in COLUMNS])


def csv_cell(value: object) -> str:
    """Return a cell that neither a terminal nor a spreadsheet takes for a command."""
    match value:
        case None:
            return ""
        case datetime():
            return _moment(value)
        case dict():
            return json.dumps(value)
        case _:
            text = "".join(c if c.isprintable() else _escaped(c) for c in str(value))
            return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _line(cells: Any) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} is not for JSON")
