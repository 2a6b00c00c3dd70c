"""``twinlock doctor``: what is wrong with an installation, and how to mend it.

Add a check to `CHECKS`: a function that yields a `Finding` for each thing it looked at. It
changes nothing, and says nothing secret.
"""

import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from twinlock.cli import output
from twinlock.composition import Flows
from twinlock.config.settings import Settings
from twinlock.config.values import is_loopback
from twinlock.core import clock
from twinlock.core.errors import ConfigurationError, TwinlockError
from twinlock.core.secrets import new_secret
from twinlock.flows import checkup
from twinlock.flows.signals import OUTBOX_TOLERANCE, SIGNING_KEY_TOLERANCE, Signals, read_signals

SAMPLE: Final = 1_000
SLOW_HASH_MILLISECONDS: Final = 1_000
LEAST_FREE_BYTES: Final = 100 * 2**20
SCARCE_FREE_BYTES: Final = 2**30
CLOCK_TOLERANCE: Final = timedelta(seconds=5)

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SMTP_SECONDS: Final = 5
_SMTP_PORTS: Final = {"smtp": 587, "smtps": 465}

app = output.single()


class State(StrEnum):
    """How it is with what was looked at."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        says: What is the case, as a sentence.
        mend: What to do about it; empty where all is well.
    """

    check: str
    state: State
    says: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a check may look at."""

    settings: Settings
    flows: Flows
    signals: Signals
    deep: bool


Check = Callable[[Examined], Iterator[Finding]]
Deep = Annotated[bool, typer.Option("--deep", help="Look at every account, not at a sample.")]


@app.command()
def doctor(*, deep: Deep = False, json: output.Json = False) -> None:
    """Say what is wrong with this installation, and how to mend it."""
    findings = list(examine(deep=deep))
    facts = {"findings": [asdict(finding) for finding in findings]}
    output.show(facts, *map(_line, findings), as_json=json)
    wrong = sum(finding.state is State.WRONG for finding in findings)
    if wrong:
        output.refuse(f"{wrong} of {len(findings)} findings are wrong: see above how to mend them.")


def examine(*, deep: bool) -> Iterator[Finding]:
    """Look at everything that can be looked at, in the order in which things depend."""
    try:
        settings = Settings()
    except ConfigurationError as error:
        yield Finding("settings", State.WRONG, str(error), "Change or remove the settings named.")
        return
    yield from _settings(settings)
    yield from _data_folder(settings)
    yield from _key_file(settings)
    with ExitStack() as stack:
        try:
            flows = stack.enter_context(output.opened(settings))
        except TwinlockError as error:
            yield Finding("database", State.WRONG, output.advice(error))
            return
        yield Finding("database", State.OK, "The keys open it, and it is at our revision.")
        examined = Examined(settings, flows, read_signals(flows.parts), deep)
        for check in CHECKS:
            yield from check(examined)


def _settings(settings: Settings) -> Iterator[Finding]:
    warnings = list(settings.warnings())
    for warning in warnings:
        yield Finding("settings", State.WARNING, warning, "See `twinlock config show`.")
    if settings.trusted_proxies and is_loopback(settings.host):
        local = [n for n in settings.trusted_proxies if n.network_address.is_loopback]
        if not local:
            yield Finding(
                "proxies",
                State.WARNING,
                "The server listens on this machine only, so its proxy's address is a local one, "
                "and TWINLOCK_TRUSTED_PROXIES does not name it.",
                "Add 127.0.0.1 to TWINLOCK_TRUSTED_PROXIES.",
            )
    if not warnings:
        yield Finding("settings", State.OK, f"They are fit for {settings.environment}.")


def _data_folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.is_dir():
        yield Finding(
            "data folder", State.WARNING, f"There is no folder {folder}.", "Type: twinlock init"
        )
        return
    yield _closed("data folder", folder, State.WARNING, mode="700")
    free = shutil.disk_usage(folder).free
    state = State.OK
    if free < SCARCE_FREE_BYTES:
        state = State.WRONG if free < LEAST_FREE_BYTES else State.WARNING
    mend = "" if state is State.OK else "Make room: without it nobody can sign in."
    yield Finding("disk", state, f"{free // 2**20:,} MiB are free in {folder}.", mend)


def _key_file(settings: Settings) -> Iterator[Finding]:
    if settings.secret_keys:
        yield Finding("key file", State.OK, "The keys come from TWINLOCK_SECRET_KEYS.")
        return
    path = settings.secret_keys_file
    if path.is_file():
        yield _closed("key file", path, State.WRONG, mode="600")


def _database_file(examined: Examined) -> Iterator[Finding]:
    database = examined.flows.parts.database
    if database.is_sqlite:
        file = Path(database.url.database or "")
        yield _closed("database file", file, State.WARNING, mode="600")


def _clock(examined: Examined) -> Iterator[Finding]:
    lead = checkup.clock_lead(examined.flows.parts)
    seconds = round(lead.total_seconds(), 1)
    if abs(lead) <= CLOCK_TOLERANCE:
        yield Finding("clock", State.OK, "This machine and the database agree on the time.")
        return
    yield Finding(
        "clock",
        State.WRONG,
        f"The database's clock differs by {seconds} s from this machine's.",
        "Let both follow a time server: codes and tokens depend on it.",
    )


def _signing_keys(examined: Examined) -> Iterator[Finding]:
    broken = checkup.find_broken_signing_keys(examined.flows.parts)
    for kid in broken:
        yield Finding(
            "signing keys",
            State.WRONG,
            f"Key {kid} does not open: its row was changed, or its master key is gone.",
            f"Type: twinlock key rotate && twinlock key retire {kid}",
        )
    age = examined.signals.signing_key_age
    if age is not None and age > SIGNING_KEY_TOLERANCE:
        yield Finding(
            "signing keys",
            State.WARNING,
            f"One key has been signing for {age.days} days.",
            "Type: twinlock key rotate",
        )
    elif not broken:
        yield Finding("signing keys", State.OK, "All that are in use open.")


def _seals(examined: Examined) -> Iterator[Finding]:
    parts = examined.flows.parts
    most = None if examined.deep else SAMPLE
    with output.progress("Looking at accounts") as report:
        looked_at, broken = checkup.find_broken_seals(parts, most=most, progress=report)
    for subject in broken:
        yield Finding(
            "seals",
            State.WRONG,
            f"The factors of account {subject} are not those that its seal was made over: "
            "somebody added, removed or moved rows. It cannot sign in.",
            "Find out who can write to the database; then reset the account's factors.",
        )
    if not broken:
        yield Finding("seals", State.OK, f"Those of {looked_at} accounts hold.")
    if examined.deep:
        yield from _factor_secrets(examined)


def _factor_secrets(examined: Examined) -> Iterator[Finding]:
    with output.progress("Opening keys of factors") as report:
        broken = checkup.find_broken_secrets(examined.flows.parts, progress=report)
    for one in broken:
        yield Finding(
            "factors",
            State.WRONG,
            f"The key of {one} does not open: its row was changed, or its master key is gone.",
            "Remove this authenticator and let its owner enroll again.",
        )
    if not broken:
        yield Finding("factors", State.OK, "All that they keep sealed opens.")


def _master_keys(examined: Examined) -> Iterator[Finding]:
    count = examined.signals.master_keys
    if examined.signals.is_rotation_unfinished:
        yield Finding(
            "master keys",
            State.WARNING,
            "A rotation of the master keys was begun and is unfinished.",
            "Type: twinlock secret rotate",
        )
        return
    yield Finding("master keys", State.OK, f"Everything is under the newest of {count}.")


def _marks(examined: Examined) -> Iterator[Finding]:
    place = examined.flows.parts.marks.place
    if place is None:
        yield Finding(
            "marks",
            State.WARNING,
            "No folder takes the file of session marks, so that a revocation takes up to a second "
            "to be seen by other processes.",
            "Let the server's user write to TWINLOCK_DATA_DIR.",
        )
        return
    yield Finding("marks", State.OK, f"Revocations are shared at once through {place}.")


def _mail(examined: Examined) -> Iterator[Finding]:
    url = examined.settings.smtp_url
    if url is None:
        yield Finding("mail", State.OK, "No mail server is set, so no mail is sent.")
        return
    parts = urlsplit(url.get_secret_value())
    host, port = parts.hostname or "", parts.port or _SMTP_PORTS[parts.scheme]
    try:
        socket.create_connection((host, port), timeout=_SMTP_SECONDS).close()
    except OSError as error:
        yield Finding(
            "mail",
            State.WRONG,
            f"{host}:{port} does not answer ({error.strerror or type(error).__name__}).",
            "Check TWINLOCK_SMTP_URL and the firewall.",
        )
        return
    yield Finding("mail", State.OK, f"{host}:{port} takes connections.")


def _outbox(examined: Examined) -> Iterator[Finding]:
    waits = examined.signals.mail_waits
    if waits > OUTBOX_TOLERANCE:
        minutes = int(waits.total_seconds() // 60)
        yield Finding(
            "outbox",
            State.WARNING,
            f"A mail has been waiting for {minutes} minutes.",
            "See mail_postponed in the server's log, and type: twinlock mail test ADDRESS",
        )
        return
    yield Finding("outbox", State.OK, "No mail waits for long.")


def _hash(examined: Examined) -> Iterator[Finding]:
    begun = clock.monotonic()
    examined.flows.password_check.new_hash(new_secret())
    milliseconds = round((clock.monotonic() - begun) * 1_000)
    says = f"A password takes {milliseconds} ms on this machine."
    if milliseconds > SLOW_HASH_MILLISECONDS:
        mend = (
            "Lower TWINLOCK_HASH_MEMORY_KIB or TWINLOCK_HASH_ITERATIONS, or use a faster machine."
        )
        yield Finding("password hash", State.WARNING, says, mend)
        return
    yield Finding("password hash", State.OK, says)


def _admin(examined: Examined) -> Iterator[Finding]:
    if examined.signals.admins:
        yield Finding("administrator", State.OK, "There is one.")
        return
    yield Finding("administrator", State.WARNING, "There is none.", f"Type: {output.CREATE_ADMIN}")


CHECKS: Final[tuple[Check, ...]] = (
    _database_file,
    _clock,
    _master_keys,
    _signing_keys,
    _seals,
    _marks,
    _mail,
    _outbox,
    _hash,
    _admin,
)


def _closed(check: str, path: Path, state: State, *, mode: str) -> Finding:
    """Return whether others than the owner are kept out of *path*."""
    if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        return Finding(check, state, f"Others can reach {path}.", f"Type: chmod {mode} '{path}'")
    return Finding(check, State.OK, f"{path} is its owner's alone.")


def _line(finding: Finding) -> str:
    mend = f"\n         {finding.mend}" if finding.mend else ""
    return f"{finding.state:<8} {finding.check}: {finding.says}{mend}"
