"""The command line in this process, each test in a folder with settings of its own."""

import json
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from twinlock.cli.main import app
from twinlock.config.settings import Settings


@dataclass(frozen=True)
class Cli:
    """Runs commands as `twinlock` would, with what the environment of the test sets.

    Attributes:
        folder: The working directory; the data folder is ``data`` in it.
        environ: The variables that are set, for processes that a test starts itself.
    """

    folder: Path
    environ: Mapping[str, str]

    def __call__(self, *arguments: str, input: str | bytes | None = None) -> Result:  # noqa: A002
        """Run a command; whatever it answers."""
        result = copy_context().run(CliRunner().invoke, app, arguments, input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def done(self, *arguments: str, input: str | bytes | None = None) -> str:  # noqa: A002
        """Run a command that is to succeed and return what it prints."""
        result = self(*arguments, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: str, input: str | bytes | None = None, code: int = 1) -> str:  # noqa: A002
        """Run a command that is to be refused and return what it says about it."""
        result = self(*arguments, input=input)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.stderr

    def json(self, *arguments: str, input: str | bytes | None = None) -> Any:  # noqa: A002
        """Run a command that is to succeed with ``--json`` and return what it prints."""
        return json.loads(self.done(*arguments, "--json", input=input))

    @property
    def settings(self) -> Settings:
        """The settings that commands read."""
        return Settings()


def make_cli(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> Cli:
    """Return a command line for development, with a quick hash, in an empty folder."""
    environ = {
        "TWINLOCK_ENVIRONMENT": "development",
        "TWINLOCK_DATA_DIR": str(folder / "data"),
        "TWINLOCK_HASH_MEMORY_KIB": "64",
        "TWINLOCK_HASH_ITERATIONS": "1",
        **more,
    }
    monkeypatch.chdir(folder)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Cli(folder, environ)


@pytest.fixture
def bare_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Cli:
    """The command line where nothing is initialised, on SQLite and on PostgreSQL."""
    return make_cli(tmp_path, monkeypatch, TWINLOCK_DATABASE_URL=database_url)


@pytest.fixture
def sqlite_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line where nothing is initialised, with the default database."""
    return make_cli(tmp_path, monkeypatch)


@pytest.fixture
def cli(bare_cli: Cli) -> Cli:
    """The command line of an initialised installation, on SQLite and on PostgreSQL."""
    bare_cli.done("init")
    return bare_cli
