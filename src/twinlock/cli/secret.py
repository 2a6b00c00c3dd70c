"""``twinlock secret``: the master keys that everything at rest is sealed with."""

from dataclasses import asdict
from typing import Annotated

import typer

from twinlock.cli import output
from twinlock.composition import Flows
from twinlock.config.settings import Settings, load_master_keys
from twinlock.core.keyring import Keyring
from twinlock.flows.rotation import OldKeyUses, Resealed, SecretRotation

app = output.group("Rotate the master keys that everything at rest is sealed with.")

DropOld = Annotated[
    bool, typer.Option("--drop-old", help="Remove the keys before the newest from the key file.")
]

SET_KEYS = (
    "The keys come from TWINLOCK_SECRET_KEYS, which only you can change. Add a new key after the "
    "others everywhere (`openssl rand -base64 32` makes one) and restart every server; put it "
    "first everywhere and restart again; then run `twinlock secret rotate`."
)


@app.command()
def rotate(
    *, drop_old: DropOld = False, yes: output.Yes = False, json: output.Json = False
) -> None:
    """Make a new master key and bring everything at rest under it, while servers run.

    When it was interrupted, run it again: it goes on where it was. The old key stays in the key
    file until --drop-old, since refresh tokens issued under it need it while they live.

    Where several machines have copies of the key file: add a line with a new key at its end and
    copy the file to all of them; move the line to the top and copy again; then run this on one.
    """
    settings = Settings()
    keys = load_master_keys(settings)
    with output.opened(settings) as flows:
        rotation = SecretRotation(flows.parts)
        if drop_old:
            _drop_old(rotation, flows, settings, newest=keys[0], yes=yes, json=json)
        else:
            _rotate(rotation, flows, settings, newest=keys[0], json=json)


def _rotate(
    rotation: SecretRotation, flows: Flows, settings: Settings, *, newest: bytes, json: bool
) -> None:
    is_resumed = rotation.is_unfinished()
    if not is_resumed:
        if settings.secret_keys:
            output.refuse(SET_KEYS)
        rotation.add_key(settings.secret_keys_file, newest=newest)
    done = _reseal(rotation)
    facts = {"key": flows.parts.keyring.newest_id, "resumed": is_resumed, **asdict(done)}
    lines = [
        f"{done.values} values are under key {facts['key']} now.",
        "Keep a new copy of the key file, apart from the backups of the database.",
        "Once old refresh tokens are dead: twinlock secret rotate --drop-old",
    ]
    output.show(facts, *lines, as_json=json)
    _tell_of_broken(done)


def _drop_old(
    rotation: SecretRotation,
    flows: Flows,
    settings: Settings,
    *,
    newest: bytes,
    yes: bool,
    json: bool,
) -> None:
    path = settings.secret_keys_file
    now = flows.parts.clock()
    if len(flows.parts.keyring.ids) == 1:
        output.show({"dropped": 0}, "There is only one key.", as_json=json)
        return
    if Keyring([newest]).newest_id != flows.parts.keyring.newest_id or rotation.is_unfinished():
        output.refuse("A rotation is unfinished: run `twinlock secret rotate` first.")
    if not settings.secret_keys and (wait := rotation.time_to_wait(path, now=now)):
        output.refuse(
            "The key file changed just now, and a server may still be writing under an older key: "
            f"try again in {int(wait.total_seconds()) + 1} seconds."
        )
    done = _reseal(rotation)
    lost = _lost(rotation.uses_of_old_keys(now=now), done)
    if settings.secret_keys:
        output.refuse(
            f"{lost} To drop them, remove all but the first from TWINLOCK_SECRET_KEYS everywhere, "
            "and restart every server."
        )
    output.confirm(f"{lost} Remove the old keys for good?", yes=yes, never_silent=True)
    dropped = rotation.drop_old_keys(path, newest, output.caller(), now=now)
    output.show({"dropped": dropped}, f"{dropped} old keys were removed.", as_json=json)


def _reseal(rotation: SecretRotation) -> Resealed:
    with output.progress("Sealing again") as report:
        return rotation.reseal(output.caller(), progress=report)


def _lost(uses: OldKeyUses, done: Resealed) -> str:
    """Return what ends with the old keys, as a sentence."""
    lost = []
    if uses.sessions:
        lost.append(f"{uses.sessions} sessions, whose refresh tokens are older than the rotation")
    if uses.pending:
        lost.append(f"{uses.pending} logins or enrollments that are under way")
    if done.broken:
        lost.append(f"{len(done.broken)} values that do not open now ({', '.join(done.broken)})")
    if not lost:
        return "Nothing needs the old keys any more."
    return f"With the old keys end: {'; '.join(lost)}."


def _tell_of_broken(done: Resealed) -> None:
    if done.broken:
        output.note(
            f"{len(done.broken)} values do not open, and were left as they are: "
            f"{', '.join(done.broken)}. Somebody changed their rows; `twinlock doctor` says more."
        )
