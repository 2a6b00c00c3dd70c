"""``twinlock key``: the keys that sign access tokens."""

from typing import Annotated, Any

import typer

from twinlock.cli import output
from twinlock.tokens.signing_keys import StoredKey

app = output.group("List, rotate and retire the keys that sign access tokens.")

RETIRE = "Every access token that this key signed is refused at once. Go on?"


@app.command("list")
def list_keys(*, json: output.Json = False) -> None:
    """List every key, the newest first."""
    with output.opened() as flows:
        keys = flows.keys.list_keys()
    headings = ("kid", "state", "created", "signed until", "retired")
    rows = [(k.kid, _state(k), k.created_at, k.signed_until, k.retired_at) for k in keys]
    facts = {"keys": [_facts(key) for key in keys]}
    output.show(facts, output.table(headings, rows), as_json=json)


@app.command()
def rotate(*, json: output.Json = False) -> None:
    """Sign with a new key from now on; tokens of the old one live to their end."""
    with output.opened() as flows:
        now = flows.parts.clock()
        flows.keys.load(now=now)
        kid = flows.keys.rotate(output.caller(), now=now).active.kid
    output.show({"kid": kid}, f"Key {kid} signs from now on.", as_json=json)


@app.command()
def retire(
    kid: Annotated[str, typer.Argument(metavar="KID", help="As `key list` shows it.")],
    *,
    yes: output.Yes = False,
    json: output.Json = False,
) -> None:
    """Accept the access tokens of an old key no longer, as when it has leaked."""
    output.confirm(RETIRE, yes=yes)
    with output.opened() as flows:
        is_retired = flows.keys.retire(kid, output.caller(), now=flows.parts.clock())
    if not is_retired:
        output.refuse(
            f"{output.safe(kid)} signs now, is retired already, or is no key: see `twinlock key "
            "list`. A key that signs is retired after `twinlock key rotate`."
        )
    output.show({"kid": kid}, f"Key {output.safe(kid)} is retired.", as_json=json)


def _state(key: StoredKey) -> str:
    if key.retired_at is not None:
        return "retired"
    return "signs" if key.active else "verifies"


def _facts(key: StoredKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": _state(key),
        "created_at": key.created_at,
        "signed_until": key.signed_until,
        "retired_at": key.retired_at,
    }
