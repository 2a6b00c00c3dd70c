"""The manners that all commands share: what they print, ask and answer with.

Every command has ``--json``. Exit codes: 0 done, 1 refused, 2 wrong usage. Results go to
standard output; errors, questions and progress to standard error.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Annotated, Final, NoReturn

import typer

from twinlock.accounts.passwords import MAX_PASSWORD_LENGTH
from twinlock.audit.events import Caller
from twinlock.composition import Flows, build_flows, build_parts, close_parts
from twinlock.config.settings import Settings
from twinlock.core.errors import DatabaseUnavailableError, TwinlockError

if sys.platform != "win32":
    import pwd

REFUSED: Final = 1
USAGE: Final = 2

_answers_program: Final = ContextVar("answers_program", default=False)


def note_json(value: bool) -> bool:  # noqa: FBT001 - called by typer
    """Have `refuse` answer programs as well, once ``--json`` was given."""
    _answers_program.set(value)
    return value


def answered() -> None:
    """Note that a program has its answer: a refusal after that is told by the exit code."""
    _answers_program.set(False)


Json = Annotated[bool, typer.Option("--json", callback=note_json, help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]

CREATE_ADMIN: Final = "twinlock user create NAME --role admin"
"""What makes an administrator; said wherever there is none."""

_MAX_ACTOR: Final = 64
_MAX_PASSWORD_BYTES: Final = 4 * MAX_PASSWORD_LENGTH + 2


def group(summary: str) -> typer.Typer:
    """Return an app for a noun with several commands."""
    app = _app(help=summary)

    @app.callback()
    def only_a_group() -> None:
        pass

    return app


def single() -> typer.Typer:
    """Return an app for one command that stands alone."""
    return _app()


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Flows]:
    """Open the installation for one command, without threads.

    Raises:
        ConfigurationError: A setting is missing, unknown, or not fit for production.
        InstallationError: Keys and database do not fit, or there are none.
        DatabaseUnavailableError: The database does not answer.
    """
    settings = settings if settings is not None else Settings()
    parts = build_parts(settings)
    try:
        yield build_flows(parts, settings)
    finally:
        close_parts(parts)


def caller() -> Caller:
    """Return who acts, for the audit log: ``cli:<user of the operating system>``."""
    return Caller(actor=f"cli:{_os_user()}"[:_MAX_ACTOR])


def show(facts: object, *lines: str, as_json: bool) -> None:
    """Print the result: *facts* as JSON, or *lines* for people.

    Args:
        facts: What JSON can hold, and moments.
        lines: Texts of ours; what came from outside goes through `safe` or `table` first.
        as_json: Which of both.
    """
    if as_json:
        typer.echo(json.dumps(facts, indent=2, default=_as_json))
        answered()
    else:
        for line in lines:
            typer.echo(line)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return *rows* under *headings* in columns; what came from outside cannot steer a terminal."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [[heading.upper() for heading in headings], *cells]
    )


def safe(text: str) -> str:
    """Return *text* with everything escaped that a terminal could take for a command."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def note(line: str) -> None:
    """Tell something beside the result."""
    typer.echo(line, err=True)


def refuse(sentence: str, *, code: int = REFUSED) -> NoReturn:
    """End the command with *sentence*, which says what is wrong and what to do.

    With ``--json`` standard output gets ``{"error": sentence}`` as well, if nothing was shown.
    """
    if _answers_program.get():
        typer.echo(json.dumps({"error": sentence}))
    note(f"twinlock: {sentence}")
    raise typer.Exit(code)


def advice(error: TwinlockError) -> str:
    """Return what to tell an operator of *error*."""
    if isinstance(error, DatabaseUnavailableError):
        return (
            f"The database does not answer ({error}). Look at TWINLOCK_DATABASE_URL, and whether "
            "the server and the folder that it names can be reached."
        )
    return str(error) or type(error).__name__


def confirm(question: str, *, yes: bool, never_silent: bool = False) -> None:
    """Ask whether to go on, and end the command when the answer is no.

    A script is taken at its word: nobody is there who could have mistyped.

    Args:
        question: What is lost, and whether to go on.
        yes: Whether it was answered by ``--yes``.
        never_silent: Whether a script has to say so as well.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        if never_silent:
            refuse(f"{question} There is nobody to ask: add --yes.", code=USAGE)
        return
    if not typer.confirm(question, err=True):
        refuse("Nothing was done.")


def read_password(*, from_stdin: bool, prompt: str = "Password") -> str:
    """Return a password: a line of standard input, or typed twice without being shown."""
    if from_stdin:
        return _read_line()
    if not sys.stdin.isatty():
        refuse("There is nobody to ask for a password: add --password-stdin.", code=USAGE)
    answer: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True)
    return answer


@contextmanager
def progress(title: str) -> Iterator[Callable[[float], None]]:
    """Show a bar on a terminal, and nothing elsewhere; give what takes the fraction done."""
    if not sys.stderr.isatty():
        yield lambda fraction: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(title, total=1.0)
        yield lambda fraction: bars.update(bar, completed=fraction)


def _app(**facts: str) -> typer.Typer:
    return typer.Typer(
        add_completion=False,
        no_args_is_help=bool(facts),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **facts,  # type: ignore[arg-type] # only ever `help`
    )


def _read_line() -> str:
    line = sys.stdin.buffer.readline(_MAX_PASSWORD_BYTES + 1)
    try:
        password = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        refuse("The password on standard input is not text in UTF-8.")
    if not password:
        refuse("There is no password on standard input.")
    return password


def _os_user() -> str:
    if sys.platform == "win32":
        return os.getlogin()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return str(os.getuid())


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(map(_cell, value)) or "-"
        case _:
            return safe(str(value))


def _as_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
