"""``twinlock user``: make, find, change and end accounts."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from sqlalchemy import Row

from twinlock.accounts.breached_passwords import BreachServiceError
from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import NewHash
from twinlock.accounts.password_policy import RECOMMENDED_LENGTH, PasswordProblem
from twinlock.cli import output
from twinlock.cli.importing import import_users
from twinlock.cli.invitations import invite_user, list_invitations, uninvite_user
from twinlock.cli.lookup import User, read_full_name, read_roles, require_account
from twinlock.composition import Flows
from twinlock.flows.account_listing import InvalidCursorError, list_accounts
from twinlock.flows.account_making import NewAccount
from twinlock.flows.outcomes import Refused
from twinlock.flows.overview import Overview, read_overview

app = output.group("Make, find, change and end accounts.")
app.command("import")(import_users)
app.command("invite")(invite_user)
app.command("invitations")(list_invitations)
app.command("uninvite")(uninvite_user)

Email = Annotated[str | None, typer.Option(help="E-mail address; it can be signed in with.")]
FullName = Annotated[
    str | None, typer.Option(callback=read_full_name, help="Name as it is shown; may be empty.")
]


@app.command("create")
def create_user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="User name, without @.")],
    *,
    email: Email = None,
    full_name: FullName = None,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", callback=read_roles, help="Role; may be repeated."),
    ] = None,
    password_stdin: output.PasswordStdin = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Make an account without a password.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Make an account; its password is asked for twice, or read from standard input."""
    if password_stdin and no_password:
        raise typer.BadParameter("--password-stdin and --no-password exclude each other.")
    new = NewAccount(name, email, full_name or None, tuple(roles or ()))
    password = None if no_password else output.read_password(from_stdin=password_stdin)
    with output.opened() as flows:
        created = flows.administration.create(
            NewAccount(
                new.username,
                new.email,
                new.full_name,
                new.roles,
                password=None if password is None else _hash(flows, password, new),
            ),
            output.caller(),
            now=flows.parts.clock(),
        )
    account = _done(created)
    if password is not None:
        _advise(password)
    output.show(
        _facts(account),
        f"Created the account {output.safe(account.username)}.",
        *([] if account.password_hash else ["It has no password: nobody can sign in to it."]),
        as_json=as_json,
    )


@app.command("list")
def list_users(
    *,
    search: Annotated[
        str | None, typer.Option(help="Beginning of the user name, e-mail address or name.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="Where to go on: the cursor that the last list gave.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """List accounts in the order in which they were made; those searched for, by their names."""
    try:
        with output.opened() as flows:
            page = list_accounts(flows.parts, search=search, cursor=cursor, limit=limit)
    except InvalidCursorError as error:
        raise typer.BadParameter("This is no cursor of this list.") from error
    rows = (
        (one.username, one.email, one.full_name, one.roles, _state(one), one.created_at)
        for one in page.accounts
    )
    output.show(
        {"users": [_facts(one) for one in page.accounts], "next_cursor": page.next_cursor},
        output.table(("username", "e-mail", "full name", "roles", "state", "created"), rows),
        *([f"More: --cursor {page.next_cursor}"] if page.next_cursor else []),
        as_json=as_json,
    )


@app.command("show")
def show_user(name: User, *, as_json: output.Json = False) -> None:
    """Show an account with its factors, sessions and last sign-in."""
    with output.opened() as flows:
        found = read_overview(flows.parts, flows.changes, name, now=flows.parts.clock())
    if found is None:
        output.refuse(f"There is no account {output.safe(name)}.")
    account = found.account
    lines = {
        "id": account.subject,
        "user name": account.username,
        "e-mail": account.email,
        "full name": account.full_name,
        "roles": account.roles,
        "state": _state(account),
        "factors": [f"{one.label} ({one.method})" for one in found.factors],
        "recovery codes left": found.recovery_codes_left,
        "sessions": len(found.sessions),
        "created": account.created_at,
        "last sign-in": _event_line(found.signed_in),
        "last denied": _event_line(found.denied),
        "last throttled": _event_line(found.throttled),
    }
    output.show(
        _overview_facts(found), output.table(("", ""), lines.items()).lstrip(), as_json=as_json
    )
    if found.is_seal_broken:
        output.note(
            "THE SEAL IS BROKEN: the authenticators are not those that it was made over, and "
            "nobody can sign in. Find out who changed the database."
        )


@app.command("set")
def set_user(
    name: User,
    *,
    email: Email = None,
    full_name: FullName = None,
    add_roles: Annotated[
        list[str] | None,
        typer.Option("--add-role", callback=read_roles, help="Role to give; may be repeated."),
    ] = None,
    remove_roles: Annotated[
        list[str] | None,
        typer.Option("--remove-role", callback=read_roles, help="Role to take; may be repeated."),
    ] = None,
    password_stdin: output.PasswordStdin = False,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for a new password.")
    ] = False,
    yes: output.Yes = False,
    as_json: output.Json = False,
) -> None:
    """Change what is given; new roles, address or password end every session."""
    has_password = password_stdin or ask_password
    has_profile = email is not None or full_name is not None or add_roles or remove_roles
    if not has_profile and not has_password:
        raise typer.BadParameter("Say what to set.")
    password = output.read_password(from_stdin=password_stdin) if has_password else None
    with output.opened() as flows:
        account = require_account(flows, name)
        roles = (set(account.roles) | set(add_roles or ())) - set(remove_roles or ())
        _confirm_roles(account, roles, yes=yes)
        new = NewAccount(account.username, email or account.email, full_name or account.full_name)
        new_hash = None if password is None else _hash(flows, password, new)
        if has_profile:
            changed = flows.administration.change(
                account,
                output.caller(),
                email=email,
                full_name=full_name,
                roles=sorted(roles),
                now=flows.parts.clock(),
            )
            _done(changed)
        account = require_account(flows, account.username)
        if new_hash is not None:
            _done(
                flows.administration.set_password(
                    account, new_hash, output.caller(), now=flows.parts.clock()
                )
            )
            account = require_account(flows, account.username)
    if password is not None:
        _advise(password)
    output.show(
        _facts(account),
        f"Changed the account {output.safe(account.username)}.",
        as_json=as_json,
    )


@app.command("disable")
def disable_user(name: User, *, as_json: output.Json = False) -> None:
    """Keep an account from everything, at once; every session ends."""
    with output.opened() as flows:
        account = require_account(flows, name)
        if not account.is_disabled:
            _done(flows.administration.disable(account, output.caller(), now=flows.parts.clock()))
        _tell_state(flows, account, as_json=as_json)


@app.command("enable")
def enable_user(name: User, *, as_json: output.Json = False) -> None:
    """Let a disabled account sign in again."""
    with output.opened() as flows:
        account = require_account(flows, name)
        if account.is_disabled:
            _done(flows.administration.enable(account, output.caller(), now=flows.parts.clock()))
        _tell_state(flows, account, as_json=as_json)


@app.command("unlock")
def unlock_user(name: User, *, as_json: output.Json = False) -> None:
    """Forget an account's counts of wrong passwords and codes."""
    with output.opened() as flows:
        account = require_account(flows, name)
        flows.administration.unlock(account, output.caller(), now=flows.parts.clock())
    output.show(
        _facts(account),
        f"The counts of {output.safe(account.username)} are forgotten. Those of networks go on.",
        as_json=as_json,
    )


@app.command("delete")
def delete_user(name: User, *, yes: output.Yes = False, as_json: output.Json = False) -> None:
    """Delete an account for good, its factors and sessions included."""
    with output.opened() as flows:
        account = require_account(flows, name)
        shown = output.safe(account.username)
        output.confirm(f"Delete the account {shown} for good?", yes=yes)
        _done(flows.administration.delete(account, output.caller(), now=flows.parts.clock()))
    output.show(
        {"id": account.subject, "username": account.username, "deleted": True},
        f"Deleted the account {shown}.",
        as_json=as_json,
    )


def _hash(flows: Flows, password: str, new: NewAccount) -> NewHash:
    """Return the hash of a new password, or end the command if the policy refuses it."""
    if problem := flows.administration.check_password(password, new):
        limits = {
            PasswordProblem.TOO_SHORT: f" It needs {flows.policy.min_length} characters or more.",
            PasswordProblem.TOO_LONG: f" It may have {flows.policy.max_length} characters.",
        }
        output.refuse(problem.sentence + limits.get(problem, ""))
    if _is_breached(flows, password):
        output.refuse(PasswordProblem.BREACHED.sentence)
    return flows.password_check.new_hash(password)


def _is_breached(flows: Flows, password: str) -> bool:
    try:
        return flows.breaches is not None and flows.breaches.knows(password)
    except BreachServiceError as error:
        output.note(f"The service of breached passwords did not answer: {error}.")
        return False


def _advise(password: str) -> None:
    """Tell that a password is short for one that stands alone (SP 800-63B-4 section 3.1.1.2)."""
    if len(password) < RECOMMENDED_LENGTH:
        output.note(
            f"Hint: {RECOMMENDED_LENGTH} characters or more are advised for a password that is "
            "used without a second factor."
        )


def _confirm_roles(account: Account, roles: set[str], *, yes: bool) -> None:
    given, taken = sorted(roles - set(account.roles)), sorted(set(account.roles) - roles)
    changes = [f"gets {role}" for role in given] + [f"loses {role}" for role in taken]
    if changes:
        shown = output.safe(f"{account.username} {', '.join(changes)}")
        output.confirm(f"{shown}, and every session ends. Go on?", yes=yes)


def _done(changed: Account | Refused) -> Account:
    if isinstance(changed, Refused):
        output.refuse(changed.message)
    return changed


def _tell_state(flows: Flows, account: Account, *, as_json: bool) -> None:
    account = require_account(flows, account.username)
    output.show(
        _facts(account),
        f"The account {output.safe(account.username)} is {_state(account)}.",
        as_json=as_json,
    )


def _state(account: Account) -> str:
    states = {
        "disabled": account.is_disabled,
        "awaits enrollment": account.awaits_enrollment,
        "must change its password": account.must_change_password,
        "has no password": account.password_hash is None,
    }
    return ", ".join(state for state, holds in states.items() if holds) or "enabled"


def _facts(account: Account) -> dict[str, Any]:
    return {
        "id": account.subject,
        "username": account.username,
        "email": account.email,
        "full_name": account.full_name,
        "roles": list(account.roles),
        "disabled": account.is_disabled,
        "awaits_enrollment": account.awaits_enrollment,
        "must_change_password": account.must_change_password,
        "has_password": account.password_hash is not None,
        "created_at": account.created_at,
    }


def _overview_facts(found: Overview) -> dict[str, Any]:
    return {
        **_facts(found.account),
        "seal_broken": found.is_seal_broken,
        "factors": [
            {
                "id": one.id,
                "method": one.method,
                "label": one.label,
                "created_at": one.created_at,
                "last_used_at": one.last_used_at,
            }
            for one in found.factors
        ],
        "recovery_codes_left": found.recovery_codes_left,
        "sessions": len(found.sessions),
        "last_sign_in": _event_facts(found.signed_in),
        "last_denied": _event_facts(found.denied),
        "last_throttled": _event_facts(found.throttled),
    }


def _event_facts(row: Row[Any] | None) -> Mapping[str, Any] | None:
    if row is None:
        return None
    return {"at": row.at, "ip": row.ip, "reason": row.reason, "count": row._mapping["count"]}


def _event_line(row: Row[Any] | None) -> str | None:
    if row is None:
        return None
    parts = (f"{row.at:%Y-%m-%d %H:%M:%S}", row.ip and f"from {row.ip}", row.reason)
    return ", ".join(part for part in parts if part)
