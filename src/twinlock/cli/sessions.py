"""``twinlock session``: list and revoke the sessions of an account."""

from typing import Annotated

import typer

from twinlock.cli import output
from twinlock.cli.lookup import User, require_account

app = output.group("List and revoke the sessions of an account.")


@app.command("list")
def list_sessions(user: User, *, as_json: output.Json = False) -> None:
    """List an account's sessions, the newest first."""
    with output.opened() as flows:
        account = require_account(flows, user)
        found = flows.administration.find_sessions(account, now=flows.parts.clock())
    facts = [
        {
            "id": one.id,
            "created_at": one.created_at,
            "last_seen_at": one.last_seen_at,
            "expires_at": min(one.expires_at, one.idle_until),
            "acr": one.acr,
            "amr": list(one.amr),
            "ip": one.ip,
            "user_agent": one.user_agent,
        }
        for one in found
    ]
    headings = ("id", "created", "last seen", "expires", "acr", "amr", "ip", "user agent")
    output.show(
        {"sessions": facts},
        output.table(headings, (tuple(one.values()) for one in facts)),
        as_json=as_json,
    )


@app.command("revoke")
def revoke_session(
    user: User,
    session_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The session, as the list names it.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Revoke all of them.")] = False,
    as_json: output.Json = False,
) -> None:
    """Revoke a session, or all of an account: its tokens open nothing from the next request on."""
    if every == (session_id is not None):
        raise typer.BadParameter("Name one session, or say --all.")
    with output.opened() as flows:
        account = require_account(flows, user)
        ended = flows.administration.end_sessions(
            account, session_id, output.caller(), now=flows.parts.clock()
        )
    if session_id is not None and not ended:
        output.refuse("The account has no such session, or it has ended.")
    output.show({"revoked": ended}, f"Sessions revoked: {ended}.", as_json=as_json)
