"""``twinlock policy``: who needs what by when."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from fastapi import FastAPI

from twinlock.accounts.directory import Account
from twinlock.cli import output
from twinlock.cli.lookup import User, require_account
from twinlock.composition import Flows
from twinlock.core.proof import Acr
from twinlock.flows.outcomes import Refused
from twinlock.flows.policy_administration import NO_SUCH_TARGET
from twinlock.login_server import create_app
from twinlock.policies.policy import Demands, Kind, Policy
from twinlock.web.demand import Demand
from twinlock.web.route_demands import RouteDemands, demands_on

app = output.group("List, set and explain who needs a second factor.")


@app.command("list")
def list_policies(*, as_json: output.Json = False) -> None:
    """List every policy."""
    with output.opened() as flows:
        found = flows.policy_administration.list_policies()
    _show({"policies": [_facts(one) for one in found]}, found, as_json=as_json)


@app.command("set")
def set_policy(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="everyone, role:NAME or account:USER.")
    ],
    *,
    acr: Annotated[
        Acr, typer.Option(help="aal2: a second factor. phr: one that no page can relay.")
    ] = Acr.AAL2,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="In UTC; until then a sign-in only reminds. By default from now on.",
        ),
    ] = None,
    methods: Annotated[
        list[str] | None, typer.Option("--method", help="May be enrolled; repeat it. Default: all.")
    ] = None,
    trusted_devices: Annotated[
        bool,
        typer.Option(
            "--trusted-devices/--no-trusted-devices",
            help="Whether a trusted device may stand for the second factor.",
        ),
    ] = False,
    reminds: Annotated[
        bool,
        typer.Option(
            "--remind/--no-remind",
            help="Whether to mail those who lack something, seven days and one day before.",
        ),
    ] = True,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the policy instead.")] = False,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="In place of all policies, where they are gone or their seal is broken."
        ),
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Set the policy of everyone, of a role, or of one account, in place of an older one.

    Of all that apply to an account the strictest wins. From the date on, who lacks a factor
    enrolls one at the next sign-in, and sessions that proved less open nothing any more.
    """
    if remove and anew:
        raise typer.BadParameter("--anew sets a policy, and --remove removes one.")
    with output.opened() as flows:
        now = flows.parts.clock()
        kind, name = _target(flows, target)
        administration = flows.policy_administration
        if unknown := administration.unknown_method(methods or ()):
            raise typer.BadParameter(unknown.message)
        if remove:
            done = administration.remove_policy(kind, name, output.caller(), now=now)
        else:
            new = Policy(
                kind,
                name,
                acr,
                since.replace(tzinfo=UTC) if since else now,
                tuple(dict.fromkeys(methods or ())),
                trusted_devices,
                reminds,
            )
            set_it = administration.begin_anew if anew else administration.set_policy
            done = set_it(new, output.caller(), now=now)
    if isinstance(done, Refused):
        output.refuse(done.message)
    _show({"removed" if remove else "set": _facts(done)}, [done], as_json=as_json)


@app.command("explain")
def explain_policy(
    user: User,
    *,
    route: Annotated[
        str | None,
        typer.Option(metavar="'METHOD PATH'", help="Say whether the account may pass there."),
    ] = None,
    application: Annotated[
        str | None,
        typer.Option(
            "--app",
            metavar="MODULE:NAME",
            help="The application that has the route; by default the login server.",
        ),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Say what an account needs, from when on, and which policies say so.

    With a route: what the route asks for, and whether the account can show it.
    """
    method, path = _read_route(route) if route is not None else ("", "")
    with output.opened() as flows:
        account = require_account(flows, user)
        demands = flows.policy_administration.explain(account, now=flows.parts.clock())
        reachable = flows.policy_administration.reachable(account)
        lifetimes = flows.parts.lifetimes
    facts: dict[str, Any] = {
        "id": account.subject,
        "username": account.username,
        "acr": demands.acr,
        "due": demands.due,
        "next_acr": demands.next_acr,
        "methods": list(demands.methods),
        "trusted_devices": demands.trusts_devices,
        "policies": [_facts(one) for one in demands.policies],
    }
    lines = _sentences(demands)
    if route is not None:
        asked = demands_on(_application(application), method, path, lifetimes=lifetimes)
        if asked is None:
            output.refuse(f"There is no route {output.safe(route)}.")
        told = _explained(asked, account, demands, reachable)
        facts["route"] = told
        lines += ["", f"{told['route']} is {told['verdict']}."]
        lines += [f"  {line}" for line in (*told["asks"], *told["lacks"])]
    output.show(facts, *lines, _table(demands.policies), as_json=as_json)


def _read_route(text: str) -> tuple[str, str]:
    method, _, path = text.strip().partition(" ")
    if not path.startswith("/"):
        raise typer.BadParameter("A route is a method and a path: 'POST /transfer'.")
    return method.upper(), path


def _application(name: str | None) -> FastAPI:
    """Return the application that ``module:name`` stands for, as uvicorn finds it."""
    if name is None:
        return create_app()
    from uvicorn.importer import ImportFromStringError, import_from_string

    sys.path.insert(0, str(Path.cwd()))
    try:
        found = import_from_string(name)
    except ImportFromStringError as error:
        output.refuse(str(error))
    if not isinstance(found, FastAPI):
        output.refuse(f"{output.safe(name)} is no FastAPI application.")
    return found


def _explained(
    asked: RouteDemands, account: Account, demands: Demands, reachable: Acr
) -> dict[str, Any]:
    """Return what a route asks for, and what of it the account cannot show."""
    name = f"{asked.method} {asked.path}"
    if not asked.demands:
        return {"route": name, "verdict": "open to anybody", "asks": [], "lacks": []}
    asks, lacks = [], []
    for one in asked.demands:
        asks += _asks(one)
        lacks += [f"Lacks the role {role}." for role in sorted(one.roles - set(account.roles))]
        if one.acr is not None and not reachable.satisfies(one.acr):
            lacks.append(f"Can prove {reachable} at most: a factor for {one.acr} is not enrolled.")
    if account.is_disabled:
        lacks.append("The account is disabled.")
    if not reachable.satisfies(demands.acr):
        lacks.append(f"Every sign-in ends in an enrollment first: {demands.acr} is demanded.")
    verdict = "closed" if lacks else "open"
    return {
        "route": name,
        "verdict": verdict,
        "asks": list(dict.fromkeys(asks)) or ["Asks for a session, and no more."],
        "lacks": list(dict.fromkeys(lacks)),
    }


def _asks(one: Demand) -> list[str]:
    asks = []
    if one.acr is not None:
        asks.append(f"Asks for {one.acr}.")
    if one.max_age is not None:
        asks.append(f"Asks for a proof of the last {int(one.max_age.total_seconds())} s.")
    if one.amr:
        asks.append(f"Asks for {', '.join(sorted(one.amr))} to have been used.")
    asks += [f"Asks for the role {role}." for role in sorted(one.roles)]
    if one.scope:
        asks.append(f"Asks for the scope {' '.join(sorted(one.scope))} in the token.")
    return asks


def _sentences(demands: Demands) -> list[str]:
    lines = [
        "A sign-in must prove: "
        + ("nothing beyond its first factor." if not demands.second_factor else f"{demands.acr}.")
    ]
    if demands.due is not None:
        lines.append(f"From {demands.due:%Y-%m-%d %H:%M} UTC on: {demands.next_acr}.")
    if demands.methods:
        lines.append(f"May enroll: {', '.join(demands.methods)}.")
    verb = "may" if demands.trusts_devices else "may not"
    lines.append(f"A trusted device {verb} stand for the second factor.")
    return lines


def _target(flows: Flows, target: str) -> tuple[Kind, str]:
    read = flows.policy_administration.read_target(target)
    if isinstance(read, Refused):
        if read == NO_SUCH_TARGET:
            output.refuse(f"There is no account {output.safe(target.partition(':')[2])}.")
        raise typer.BadParameter(read.message)
    return read


def _show(facts: object, found: Any, *, as_json: bool) -> None:
    output.show(facts, _table(found), as_json=as_json)


def _table(found: Any) -> str:
    headings = ("target", "acr", "from", "methods", "trusted devices", "reminds by mail")
    rows = (
        (
            one.target,
            one.acr,
            one.since,
            ", ".join(one.methods) or None,
            one.trusts_devices,
            one.reminds,
        )
        for one in found
    )
    return output.table(headings, rows)


def _facts(one: Policy) -> dict[str, Any]:
    return {
        "target": one.target,
        "acr": one.acr,
        "from": one.since,
        "methods": list(one.methods),
        "trusted_devices": one.trusts_devices,
        "reminds_by_mail": one.reminds,
    }
