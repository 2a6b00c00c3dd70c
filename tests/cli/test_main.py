"""Every command has the manners of the house."""

import subprocess
import sys
from typing import Any

import pytest
import typer

from tests.cli.conftest import Cli
from twinlock.cli.main import COMMANDS, load


def commands() -> list[tuple[str, Any]]:
    """Every command with its path."""
    found = []
    for name in COMMANDS:
        command = typer.main.get_command(load(name))
        if hasattr(command, "commands"):
            found += [(f"{name} {sub}", one) for sub, one in command.commands.items()]
        else:
            found.append((name, command))
    return found


def test_help_names_every_command(sqlite_cli: Cli) -> None:
    shown = sqlite_cli.done("--help")

    assert [name for name in COMMANDS if f"  {name} " not in shown] == []


def test_no_command_at_all_is_wrong_usage(sqlite_cli: Cli) -> None:
    assert "Usage: " in sqlite_cli.refused(code=2)


@pytest.mark.parametrize("arguments", [["nonsense"], ["db", "nonsense"], ["init", "--nonsense"]])
def test_what_does_not_exist_is_wrong_usage(sqlite_cli: Cli, arguments: list[str]) -> None:
    assert "No such" in sqlite_cli.refused(*arguments, code=2)


@pytest.mark.parametrize("path, command", commands(), ids=[path for path, _ in commands()])
def test_every_command_says_what_it_does_and_prints_json(path: str, command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}

    assert "--json" in options
    assert command.help


def test_no_option_takes_a_secret() -> None:
    """Whoever lists the processes of the machine reads every argument."""
    parameters = [parameter for _, command in commands() for parameter in command.params]

    taking = [p for p in parameters if not getattr(p, "is_flag", False)]
    named = [option for parameter in taking for option in parameter.opts]
    assert [o for o in named if any(word in o for word in ("password", "secret", "key"))] == []


def test_help_does_not_wait_for_the_engine() -> None:
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom twinlock.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'alembic', 'fastapi', 'pydantic', 'rich', 'sqlalchemy', 'uvicorn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )

    assert shown.stdout == "[]\n"


def test_the_module_is_the_command_line() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "twinlock", "--version"], check=True, capture_output=True, text=True
    )

    assert shown.stdout.startswith("twinlock ")


def test_wrong_settings_are_told_without_a_traceback(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINLOCK_PROT", "9000")

    assert "TWINLOCK_PORT" in sqlite_cli.refused("key", "list")


def test_an_installation_that_is_not_there_names_the_command_that_makes_it(
    sqlite_cli: Cli,
) -> None:
    assert "twinlock init" in sqlite_cli.refused("key", "list")
    assert not (sqlite_cli.folder / "data").exists()


def test_a_database_that_does_not_answer_is_told_with_where_to_look(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_cli.done("init")
    monkeypatch.setenv("TWINLOCK_DATABASE_URL", f"sqlite:///{sqlite_cli.folder}/none/at/all")

    assert "TWINLOCK_DATABASE_URL" in sqlite_cli.refused("key", "list")
