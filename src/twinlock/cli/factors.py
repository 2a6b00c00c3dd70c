"""``twinlock factor``: enroll, list, remove and reset the second factors of an account."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from twinlock.accounts.directory import Account
from twinlock.cli import output
from twinlock.cli.lines import print_line
from twinlock.cli.lookup import User, read_label, require_account
from twinlock.composition import Flows
from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.protocol import Factor, Prompt
from twinlock.factors.totp import otpauth
from twinlock.flows.enrolling import CLOCK_DRIFT, TOO_MANY, WRONG_ANSWER
from twinlock.flows.factor_administration import Enrolled, Removed
from twinlock.flows.outcomes import Refused

app = output.group("Enroll, list, remove and reset the second factors of an account.")

_MAX_LINE_BYTES: Final = 1024
_KEY_GROUP: Final = 4  # letters; apps show keys and people type them so


@app.command("list")
def list_factors(user: User, *, as_json: output.Json = False) -> None:
    """List an account's authenticators, and how many recovery codes are left."""
    with output.opened() as flows:
        account = require_account(flows, user)
        found = _authenticators(flows, account)
        left = flows.factor_administration.recovery_codes_left(account)
        details = flows.factor_administration.describe(account)
    headings = ("id", "method", "label", "kept by", "enrolled", "last used")
    rows = (
        (
            one.id,
            one.method,
            one.label,
            _keeper(details.get(one.id)),
            one.created_at,
            one.last_used_at,
        )
        for one in found
    )
    output.show(
        {
            "factors": [_facts(one) | _details(details.get(one.id)) for one in found],
            "recovery_codes_left": left,
        },
        output.table(headings, rows),
        f"Recovery codes left: {left}",
        as_json=as_json,
    )


@app.command("enroll")
def enroll_factor(
    user: User,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="totp: an authenticator app.")],
    *,
    label: Annotated[
        str, typer.Option(callback=read_label, help="What the authenticator is called.")
    ] = "Authenticator app",
    uri: Annotated[bool, typer.Option("--uri", help="Show the otpauth URI as well.")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            callback=output.note_json,
            help="Print a line of JSON at each step; read codes from stdin.",
        ),
    ] = False,
) -> None:
    """Enroll an authenticator for an account, its owner beside you.

    Draws the QR code, waits for the code that the app shows for it, and prints ten recovery
    codes once if this is the account's first factor. Every session of the account ends.
    """
    with output.opened() as flows:
        account = require_account(flows, user)
        factor = flows.parts.factors.get(method)
        if factor is None or not factor.max_per_account:
            known = [one.method for one in flows.parts.factors if one.max_per_account]
            raise typer.BadParameter(f"METHOD is one of: {', '.join(known)}.")
        if factor.code_digits is None:
            output.refuse(
                f"A {method} is made by a browser: its owner signs in at "
                f"{flows.parts.issuer} and adds it there."
            )
        same = [one for one in _authenticators(flows, account) if one.method == method]
        if len(same) >= factor.max_per_account:
            output.refuse(TOO_MANY.message)
        begun_at = flows.parts.clock()
        prompt = flows.factor_administration.begin_enrollment(account, factor, now=begun_at)
        _show_prompt(prompt, flows, with_uri=uri, as_json=as_json)
        enrolled = _confirm(
            flows, account, factor, prompt, label, begun_at=begun_at, as_json=as_json
        )
    if enrolled is None:
        output.refuse("Too many wrong codes: nothing was enrolled. Begin again.")
    _show_enrolled(account, enrolled, as_json=as_json)


@app.command("remove")
def remove_factor(
    user: User,
    factor_id: Annotated[str, typer.Argument(metavar="ID", help="As the list names it.")],
    *,
    yes: output.Yes = False,
    as_json: output.Json = False,
) -> None:
    """Remove one authenticator; every session of the account ends."""
    with output.opened() as flows:
        account = require_account(flows, user)
        found = _authenticators(flows, account)
        is_last = [one.id for one in found] == [factor_id]
        question = f"Remove this authenticator of {output.safe(account.username)}?"
        output.confirm(f"{question} {_CLOSED}" if is_last else question, yes=yes)
        removed = _removed(
            flows.factor_administration.remove(
                account, factor_id, output.caller(), now=flows.parts.clock()
            )
        )
        what_follows = _what_follows(flows, account, removed)
    output.show(
        {"removed": factor_id, "awaits_enrollment": is_last, **_link(removed)},
        "Removed the authenticator; every session of the account ended.",
        *what_follows,
        as_json=as_json,
    )


@app.command("reset")
def reset_factors(user: User, *, yes: output.Yes = False, as_json: output.Json = False) -> None:
    """Remove every authenticator and recovery code of an account, for who has lost them all.

    Prints a single-use token, once: with it and the password the owner signs in and enrolls a
    new authenticator, within a day. It is mailed to the verified address as well, if there is one.
    """
    with output.opened() as flows:
        account = require_account(flows, user)
        question = (
            f"Remove all authenticators and recovery codes of {output.safe(account.username)}?"
        )
        output.confirm(f"{question} {_CLOSED}", yes=yes)
        removed = _removed(
            flows.factor_administration.reset(account, output.caller(), now=flows.parts.clock())
        )
        what_follows = _what_follows(flows, account, removed)
    output.show(
        {
            "id": account.subject,
            "username": account.username,
            "awaits_enrollment": True,
            **_link(removed),
        },
        "Removed every authenticator and recovery code; every session of the account ended.",
        *what_follows,
        as_json=as_json,
    )


_CLOSED: Final = "Its password opens nothing then, until a new one is enrolled."


def _what_follows(flows: Flows, account: Account, removed: Removed) -> list[str]:
    if removed.link is None:
        return []
    hours = int(flows.parts.lifetimes.enrollment_link.total_seconds() // 3600)
    command = f"twinlock factor enroll {output.safe(account.username)} totp"
    return [
        f"Sign-in is closed until an authenticator is enrolled: {command}",
        (
            f"Or let the owner enroll one at the next sign-in, within {hours} hours, with the "
            "password and this token, which is shown this once:"
        ),
        f"  {removed.link}",
        "On the pages of the login server, the same as a link:",
        f"  {flows.parts.issuer}/enrollment/link/{removed.link}",
    ]


def _link(removed: Removed) -> dict[str, str]:
    return {} if removed.link is None else {"enrollment_token": removed.link}


def _authenticators(flows: Flows, account: Account) -> Sequence[Authenticator]:
    found = flows.factor_administration.find_authenticators(account)
    if isinstance(found, Refused):
        output.refuse(found.message)
    return found


def _removed(done: Removed | Refused) -> Removed:
    if isinstance(done, Refused):
        output.refuse(done.message)
    return done


def _show_prompt(prompt: Prompt, flows: Flows, *, with_uri: bool, as_json: bool) -> None:
    secret, uri = prompt.options["secret"], prompt.options["uri"]
    lifetimes = flows.parts.lifetimes
    if as_json:
        print_line(
            {
                "status": "enrollment_begun",
                "secret": secret,
                "uri": uri,
                "expires_in": int(lifetimes.enrollment.total_seconds()),
                "tries": lifetimes.max_answers,
            }
        )
        return
    drawing = otpauth.qr_terminal(uri)
    if _can_print(drawing):
        typer.echo("Scan this with an authenticator app:\n")
        typer.echo(_on_black(drawing) if sys.stdout.isatty() else drawing)
    else:
        with_uri = True
    typer.echo(f"Or type this key: {_in_groups(secret)}")
    if with_uri:
        typer.echo(f"Or use this URI: {uri}")
    minutes = int(lifetimes.enrollment.total_seconds() // 60)
    typer.echo(f"Then enter the code that the app shows, within {minutes} minutes.")


def _confirm(
    flows: Flows,
    account: Account,
    factor: Factor,
    prompt: Prompt,
    label: str,
    *,
    begun_at: datetime,
    as_json: bool,
) -> Enrolled | None:
    """Take codes until one confirms the enrollment; None when there were too many wrong ones."""
    lifetimes = flows.parts.lifetimes
    for tries_left in reversed(range(lifetimes.max_answers)):
        answer = _read_answer(as_json=as_json)
        now = flows.parts.clock()
        if now - begun_at > lifetimes.enrollment:
            output.refuse("That took too long: nothing was enrolled. Begin again.")
        done = flows.factor_administration.finish_enrollment(
            account, factor, prompt, answer, label, output.caller(), now=now
        )
        if isinstance(done, Enrolled):
            return done
        if done not in (WRONG_ANSWER, CLOCK_DRIFT):
            output.refuse(done.message)
        if as_json:
            print_line({"status": done.code, "detail": done.message, "tries_left": tries_left})
        else:
            output.note(done.message)
    return None


def _read_answer(*, as_json: bool) -> str:
    if sys.stdin.isatty() and not as_json:
        answer: str = typer.prompt("Code", err=True)
        return answer
    line = sys.stdin.buffer.readline(_MAX_LINE_BYTES)
    if not line:
        output.refuse("No code came on standard input: nothing was enrolled.")
    return line.decode("utf-8", "replace").strip()


def _show_enrolled(account: Account, enrolled: Enrolled, *, as_json: bool) -> None:
    codes = list(enrolled.recovery_codes)
    if as_json:
        factor = _facts(enrolled.authenticator)
        print_line({"status": "enrolled", "factor": factor, "recovery_codes": codes})
        return
    typer.echo(
        f"Enrolled. From now on {output.safe(account.username)} signs in with password and code."
    )
    if codes:
        typer.echo("\nRecovery codes, each good for one sign-in without the app:\n")
        for code in codes:
            typer.echo(f"  {code}")
        typer.echo(
            "\nThey are shown this once. Store them where the phone is not: on paper or in a "
            "password manager. Clear this terminal afterwards."
        )


def _facts(one: Authenticator) -> dict[str, Any]:
    return {
        "id": one.id,
        "method": one.method,
        "label": one.label,
        "created_at": one.created_at,
        "last_used_at": one.last_used_at,
    }


def _details(known: Mapping[str, str | bool | None] | None) -> dict[str, Any]:
    return {"details": dict(known)} if known else {}


def _keeper(known: Mapping[str, str | bool | None] | None) -> str:
    """Return who keeps a passkey, and whether it is synced; nothing of other factors."""
    if not known:
        return ""
    provider = str(known["provider"] or known["aaguid"])
    return f"{provider}, synced" if known["backed_up"] else provider


def _in_groups(secret: str) -> str:
    starts = range(0, len(secret), _KEY_GROUP)
    return " ".join(secret[start : start + _KEY_GROUP] for start in starts)


def _on_black(drawing: str) -> str:
    """Return the drawing in white on black, whatever a terminal's colours: scanners want that."""
    return "\n".join(f"\x1b[97;40m{line}\x1b[0m" for line in drawing.splitlines())


def _can_print(drawing: str) -> bool:
    try:
        drawing.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
