"""Every command of ``twinlock``: add one here, in `COMMANDS` and in `load`.

A command is imported when it is called, so that ``--help`` does not wait for the engine.
"""

import logging
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from twinlock import __version__
from twinlock.core.errors import TwinlockError

COMMANDS: Final = {
    "init": "Make data folder, key file and database; can be repeated.",
    "serve": "Run the login server.",
    "doctor": "Say what is wrong with this installation, and how to mend it.",
    "user": "Make, find, change and end accounts; import them from elsewhere.",
    "factor": "Enroll, list, remove and reset the second factors of an account.",
    "session": "List and revoke the sessions of an account.",
    "policy": "List, set and explain who needs a second factor.",
    "mail": "Send a test mail.",
    "audit": "List, export and verify the log of what happened.",
    "config": "Show the settings and where they come from.",
    "db": "Migrate and check the database.",
    "key": "List, rotate and retire the keys that sign access tokens.",
    "secret": "Rotate the master keys that everything at rest is sealed with.",
    "openapi": "Print the OpenAPI document.",
}


def load(name: str) -> typer.Typer:  # noqa: C901 - one case a command
    """Import the command *name*."""
    match name:
        case "init":
            from twinlock.cli.init import app
        case "serve":
            from twinlock.cli.serve import app
        case "doctor":
            from twinlock.cli.doctor import app
        case "user":
            from twinlock.cli.users import app
        case "factor":
            from twinlock.cli.factors import app
        case "session":
            from twinlock.cli.sessions import app
        case "policy":
            from twinlock.cli.policy import app
        case "mail":
            from twinlock.cli.mail import app
        case "audit":
            from twinlock.cli.audit import app
        case "config":
            from twinlock.cli.config import app
        case "db":
            from twinlock.cli.db import app
        case "key":
            from twinlock.cli.key import app
        case "secret":
            from twinlock.cli.secret import app
        case "openapi":
            from twinlock.cli.openapi import app
        case _:
            raise LookupError(name)
    return app


class _Commands(TyperGroup):
    """Shows every command, loads the one that is called, and turns our errors into exit code 1."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the command itself in the place of its summary."""
        name = args[0]
        if name in COMMANDS:
            command = typer.main.get_command(load(name))
            command.help = command.help or COMMANDS[name]
            self.add_command(command, name)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what an operator can cause is told without a traceback."""
        try:
            return super().invoke(ctx)
        except TwinlockError as error:
            from twinlock.cli import output

            output.refuse(output.advice(error))


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(is_asked: bool) -> None:  # noqa: FBT001 - called by typer
    if is_asked:
        typer.echo(f"twinlock {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Twinlock: two-factor authentication for FastAPI, as a login server.

    Settings come from the environment (TWINLOCK_…), .env, a secrets folder or twinlock.toml.
    """
    logging.getLogger("twinlock").addHandler(logging.NullHandler())  # commands answer themselves


def run() -> None:
    """Run the command line of this process."""
    app()
