"""Finding the account that a command names, and checking the texts that come with it."""

from collections.abc import Callable
from typing import Annotated, Final

import typer

from twinlock.accounts.directory import Account
from twinlock.accounts.roles import role_problem
from twinlock.cli import output
from twinlock.composition import Flows

User = Annotated[str, typer.Argument(metavar="USER", help="User name or e-mail address.")]

_THEIRS: Final = (
    "The users of this installation are an application's own: this program knows none of them. "
    "The application says auth.changed(id) or auth.forget(id)."
)
MAX_FULL_NAME: Final = 255  # characters
MAX_LABEL: Final = 64  # characters


def require_account(flows: Flows, login: str) -> Account:
    """Return the account that *login* names, or end the command."""
    account = flows.administration.find(login)
    if account is None:
        theirs = flows.host_changes.has_users()
        output.refuse(
            f"There is no account {output.safe(login)}." + (f" {_THEIRS}" if theirs else "")
        )
    return account


def full_name_problem(text: str) -> str | None:
    """Return why *text* is no full name, as a sentence, or None."""
    return _text_problem(text, "A full name", MAX_FULL_NAME)


def read_full_name(text: str | None) -> str | None:
    """Return an option's full name without surrounding spaces; an empty one stays empty."""
    return _checked(text, full_name_problem)


def read_label(text: str) -> str:
    """Return an option's label without surrounding spaces."""
    label = _checked(text, lambda given: _text_problem(given, "A label", MAX_LABEL))
    if not label:
        raise typer.BadParameter("A label has at least one character.")
    return label


def read_roles(roles: list[str] | None) -> list[str]:
    """Return the roles of a repeated option, each once."""
    for role in roles or ():
        if problem := role_problem(role):
            raise typer.BadParameter(problem)
    return list(dict.fromkeys(roles or ()))


def _text_problem(text: str, what: str, max_length: int) -> str | None:
    if len(text) > max_length:
        return f"{what} has at most {max_length} characters."
    return None if text.isprintable() else f"{what} consists of printable characters."


def _checked(text: str | None, problem_with: Callable[[str], str | None]) -> str | None:
    if text is None:
        return None
    if problem := problem_with(text.strip()):
        raise typer.BadParameter(problem)
    return text.strip()
