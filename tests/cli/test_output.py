"""What commands print, ask and read."""

import json
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from twinlock.cli import output

MOMENT = datetime(2026, 3, 2, 12, 0, 1, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain", "plain"),
        ("Zoë 李", "Zoë 李"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb", "a\\nb"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp", "\\u202egnp"),
    ],
)
def test_what_came_from_outside_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert output.safe(text) == shown
    assert output.table(("name",), [(text,)]).splitlines()[1] == shown


def test_a_table_shows_each_kind_of_value() -> None:
    rows = [(None, True, MOMENT, ["a", "b"]), ("x", False, MOMENT, ())]

    assert output.table(("one", "two", "three", "four"), rows).splitlines() == [
        "ONE  TWO  THREE                FOUR",
        "-    yes  2026-03-02 12:00:01  a, b",
        "x    no   2026-03-02 12:00:01  -",
    ]


def test_a_table_of_nothing_is_its_headings() -> None:
    assert output.table(("one", "two"), []) == "ONE  TWO"


def test_json_holds_moments_as_rfc_3339(capsys: pytest.CaptureFixture[str]) -> None:
    output.show({"at": MOMENT}, "never shown", as_json=True)

    assert json.loads(capsys.readouterr().out) == {"at": "2026-03-02T12:00:01.500000Z"}


def test_a_refusal_is_one_sentence_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        output.refuse("No.")

    assert ended.value.exit_code == 1
    assert capsys.readouterr() == ("", "twinlock: No.\n")


def ask(command: typer.Typer, *arguments: str, given: str | bytes = "") -> tuple[int, str, str]:
    result = copy_context().run(CliRunner().invoke, command, arguments, input=given)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def asking() -> typer.Typer:
    app = output.single()

    @app.command()
    def ask(*, yes: output.Yes = False) -> None:
        """Ask."""
        output.confirm("Really?", yes=yes)
        typer.echo("done")

    return app


@pytest.fixture
def reading() -> typer.Typer:
    app = output.single()

    @app.command()
    def read(*, password_stdin: output.PasswordStdin = False) -> None:
        """Read."""
        typer.echo(repr(output.read_password(from_stdin=password_stdin)))

    return app


def test_yes_answers_the_question(asking: typer.Typer) -> None:
    assert ask(asking, "--yes") == (0, "done\n", "")


def test_a_script_is_taken_at_its_word(asking: typer.Typer) -> None:
    assert ask(asking, given="n\n") == (0, "done\n", "")


def test_what_is_never_silent_is_wrong_usage_without_a_terminal() -> None:
    app = output.single()

    @app.command()
    def drop(*, yes: output.Yes = False) -> None:
        """Drop."""
        output.confirm("Really?", yes=yes, never_silent=True)

    code, shown, told = ask(app, given="y\n")

    assert (code, shown) == (2, "")
    assert "--yes" in told


def test_a_refusal_is_json_for_who_asked_for_json() -> None:
    app = output.single()

    @app.command()
    def refused(*, as_json: output.Json = False) -> None:
        """Refuse."""
        output.refuse("There is no such thing.")

    assert ask(app) == (1, "", "twinlock: There is no such thing.\n")
    assert ask(app, "--json") == (
        1,
        '{"error": "There is no such thing."}\n',
        "twinlock: There is no such thing.\n",
    )


@pytest.mark.parametrize(
    "given, read",
    [
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret", "secret"),
        (b" with spaces \n", " with spaces "),
        (b"first\nsecond\n", "first"),
        ("Zoë\n".encode(), "Zoë"),
        (b"x" * 4096 + b"\n", "x" * 4096),
    ],
)
def test_a_password_is_one_line_as_it_stands(reading: typer.Typer, given: bytes, read: str) -> None:
    assert ask(reading, "--password-stdin", given=given) == (0, f"{read!r}\n", "")


@pytest.mark.parametrize("given", [b"", b"\n", b"\xff\xfe\n"])
def test_what_is_no_password_is_refused(reading: typer.Typer, given: bytes) -> None:
    code, shown, told = ask(reading, "--password-stdin", given=given)

    assert (code, shown) == (1, "")
    assert "standard input" in told


def test_without_a_terminal_a_password_needs_the_option(reading: typer.Typer) -> None:
    code, _, told = ask(reading, given="secret\n")

    assert code == 2
    assert "--password-stdin" in told


def test_the_caller_is_the_user_of_the_operating_system() -> None:
    actor = output.caller().actor

    assert actor is not None
    assert actor.startswith("cli:")
    assert len(actor) > len("cli:")


def test_a_group_of_one_command_stays_a_group() -> None:
    app = output.group("Nouns.")

    @app.command()
    def verb(name: Annotated[str, typer.Argument()]) -> None:
        """Do it."""
        typer.echo(name)

    assert ask(app, "verb", "x")[:2] == (0, "x\n")
