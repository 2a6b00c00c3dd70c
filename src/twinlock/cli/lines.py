"""JSON with one object to a line, for programs that read on while a command runs."""

import json
import sys
from collections.abc import Mapping
from datetime import datetime

from twinlock.cli.output import answered


def print_line(facts: Mapping[str, object]) -> None:
    """Print one object at once, in ASCII: nothing in it can steer a terminal."""
    sys.stdout.write(json_line(facts))
    sys.stdout.flush()
    answered()


def json_line(facts: Mapping[str, object]) -> str:
    """Return one object as a line of JSON, its moments as RFC 3339 in UTC."""
    return json.dumps(facts, default=_moment) + "\n"


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} is not for JSON")
