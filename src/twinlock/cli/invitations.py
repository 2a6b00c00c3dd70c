"""``twinlock user invite`` and what becomes of invitations."""

from typing import Annotated

import typer

from twinlock.cli import output
from twinlock.cli.lookup import User, read_full_name, read_roles, require_account
from twinlock.composition import Flows
from twinlock.flows.account_making import NewAccount
from twinlock.flows.invitations import Invitation, Invitations
from twinlock.flows.outcomes import Refused
from twinlock.mail.transport import FolderTransport

_FIRST = "0" * 32
_PAGE = 100


def invite_user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="User name, without @.")],
    *,
    email: Annotated[str, typer.Option(help="Where the invitation goes.")],
    full_name: Annotated[
        str | None, typer.Option(callback=read_full_name, help="Name as it is shown.")
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", callback=read_roles, help="Role; may be repeated."),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Mail an invitation: its owner chooses the password and enrolls the first factor.

    The running server delivers it. Development shows the link here, too.
    """
    new = NewAccount(name, email, full_name or None, tuple(roles or ()))
    with output.opened() as flows:
        sent = _enabled(flows).invite(new, output.caller(), now=flows.parts.clock())
        office = flows.parts.mail
    if isinstance(sent, Refused):
        output.refuse(sent.message)
    shown = sent.link if office and isinstance(office.transport, FolderTransport) else None
    output.show(
        _facts(sent) | ({"link": shown} if shown else {}),
        f"Invited {output.safe(sent.account.username)}.",
        *([f"In development the link is shown: {shown}"] if shown else []),
        as_json=as_json,
    )


def list_invitations(*, as_json: output.Json = False) -> None:
    """List invitations that nobody has accepted yet."""
    found: list[Invitation] = []
    with output.opened() as flows:
        waiting, after = _enabled(flows), _FIRST
        while page := waiting.list_waiting(after=after, limit=_PAGE, now=flows.parts.clock()):
            found += page
            after = page[-1].account.subject
    rows = ((one.account.username, one.account.email, one.expires_at) for one in found)
    output.show(
        {"invitations": [_facts(one) for one in found]},
        output.table(("username", "e-mail", "until"), rows),
        as_json=as_json,
    )


def uninvite_user(name: User, *, as_json: output.Json = False) -> None:
    """Void an invitation; the account stays, and nobody can sign in to it."""
    with output.opened() as flows:
        waiting = _enabled(flows)
        account = require_account(flows, name)
        refused = waiting.revoke(account.subject, output.caller(), now=flows.parts.clock())
    if refused is not None:
        output.refuse(refused.message)
    facts = {"id": account.subject, "username": account.username}
    output.show(facts, "The invitation is void.", as_json=as_json)


def _enabled(flows: Flows) -> Invitations:
    if not flows.invitations.is_enabled:
        output.refuse("Invitations are switched off: set TWINLOCK_INVITATIONS_ENABLED.")
    return flows.invitations


def _facts(one: Invitation) -> dict[str, object]:
    return {
        "id": one.account.subject,
        "username": one.account.username,
        "email": one.account.email,
        "roles": list(one.account.roles),
        "created_at": one.created_at,
        "expires_at": one.expires_at,
    }
