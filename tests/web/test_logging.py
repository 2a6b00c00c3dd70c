"""The server's log is made for programs, and holds nothing that a statement was given."""

import json
import logging
import logging.config
from datetime import UTC, datetime

import pytest

from twinlock.web.logging import JsonFormatter, ShortFormatter, log_config

MOMENT = datetime(2026, 3, 2, 12, 0, 1, 250_000, tzinfo=UTC)


def record(message: str = "login_denied", **given: object) -> logging.LogRecord:
    made = logging.LogRecord("twinlock.login", logging.WARNING, __file__, 1, message, (), None)
    made.created = MOMENT.timestamp()
    made.__dict__.update(given)
    return made


def failed(secret: str) -> logging.LogRecord:
    made = record("request_failed")
    try:
        raise RuntimeError(f"statement failed: {secret}")
    except RuntimeError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    return made


def test_a_line_is_json_with_the_events_name_first() -> None:
    line = JsonFormatter().format(record(subject="s1", tries=3))

    assert list(json.loads(line).items()) == [
        ("event", "login_denied"),
        ("level", "warning"),
        ("at", "2026-03-02T12:00:01.250Z"),
        ("logger", "twinlock.login"),
        ("subject", "s1"),
        ("tries", 3),
    ]


def test_a_line_is_one_line_whatever_was_given() -> None:
    assert "\n" not in JsonFormatter().format(record("a\nb", name_given="c\nd"))


@pytest.mark.parametrize("formatter", [JsonFormatter(), ShortFormatter()])
def test_an_exception_is_told_without_its_text(formatter: logging.Formatter) -> None:
    line = formatter.format(failed("the-password"))

    assert "RuntimeError" in line
    assert "test_logging.py" in line
    assert "the-password" not in line


def test_what_json_cannot_hold_is_written_as_text() -> None:
    line = JsonFormatter().format(record(moment=MOMENT, kinds={"a"}))

    assert json.loads(line)["moment"] == str(MOMENT)


def test_a_developer_reads_short_lines() -> None:
    line = ShortFormatter().format(record(route="/users/me", reason="no such account", odd="\x1b["))

    time, rest = line.split(" ", 1)
    assert len(time) == len("12:00:01")
    assert rest == ('warning login_denied route=/users/me reason="no such account" odd="\\u001b["')


@pytest.mark.parametrize("is_development", [True, False])
def test_the_configuration_is_one_that_python_takes(is_development: bool) -> None:
    config = log_config(is_development=is_development)
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = root.handlers[:]
    try:
        logging.config.dictConfig(config)
        (handler,) = root.handlers
        assert isinstance(handler.formatter, ShortFormatter if is_development else JsonFormatter)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in ("twinlock", "uvicorn"):
            logging.getLogger(name).setLevel(logging.NOTSET)
