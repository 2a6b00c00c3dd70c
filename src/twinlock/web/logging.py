"""The log of ``twinlock serve``: one JSON object a line, or short lines for a developer.

A library configures no logging of its host, so that only the server's command uses this. An
exception is told by its type and where it happened, never by its text: a database's error holds
the values of its statement.
"""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Final

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""What every record has; all else was given by `extra`."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, the event's name first."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "at": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "logger": record.name,
            **_given(record),
        }
        return json.dumps(facts, default=str)


class ShortFormatter(logging.Formatter):
    """Writes a record as ``12:00:00 info request_answered method=GET``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        given = "".join(f" {name}={_word(value)}" for name, value in _given(record).items())
        time = _moment(record).astimezone().strftime("%H:%M:%S")
        return f"{time} {record.levelname.lower()} {record.getMessage()}{given}"


def log_config(*, is_development: bool) -> dict[str, Any]:
    """Return what `logging.config.dictConfig` takes: everything goes to standard error."""
    formatter = ShortFormatter if is_development else JsonFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{formatter.__module__}.{formatter.__name__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "twinlock": {"level": "INFO"},
            # Its lines about starting and stopping say nothing that our own do not say.
            "uvicorn": {"level": "WARNING"},
        },
    }


def _given(record: logging.LogRecord) -> dict[str, Any]:
    given = {name: value for name, value in vars(record).items() if name not in _OWN}
    if record.exc_info and record.exc_info[0] is not None:
        given["exception"] = record.exc_info[0].__name__
        frames = traceback.extract_tb(record.exc_info[2])
        given["stack"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return given


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _word(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)
