"""``twinlock user import``: take accounts over from the tutorial's file, JSON or CSV."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from twinlock.audit.events import Caller
from twinlock.cli import output
from twinlock.cli.import_files import (
    FileProblemError,
    Format,
    Found,
    Unreadable,
    changes_elsewhere,
    format_of,
    read_records,
)
from twinlock.cli.import_records import RecordError, name_of, understand
from twinlock.composition import Flows
from twinlock.core.errors import TwinlockError
from twinlock.core.principal import ADMIN
from twinlock.flows.importing import Existing, Importing, TakenOver
from twinlock.flows.outcomes import Refused

_METHOD: Final = "totp"
_LABEL: Final = "Authenticator app"


class OnConflict(StrEnum):
    """What to do with a user who is there already."""

    SKIP = "skip"
    FAIL = "fail"


@dataclass(slots=True)
class _Report:
    """What became of each record; only what was not taken over is kept one by one."""

    taken_over: int = 0
    with_factor: int = 0
    admins: list[str] = field(default_factory=list)
    skipped: list[dict[str, str | None]] = field(default_factory=list)
    refused: list[dict[str, str | None]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def import_users(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)
    ],
    *,
    format_: Annotated[
        Format, typer.Option("--format", help="The file's format; auto goes by its name.")
    ] = Format.AUTO,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    on_conflict: Annotated[
        OnConflict, typer.Option(help="Skip users who are there already, or refuse them.")
    ] = OnConflict.SKIP,
    allow_no_password: Annotated[
        bool, typer.Option("--allow-no-password", help="Take over records without a hash, too.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Take users over, with their password hashes and their authenticator apps.

    FILE is the tutorial's program, whose `fake_users_db = {…}` is read and never run, or JSON, JSON
    lines or CSV with the same fields: username, email, full_name, hashed_password, disabled,
    roles, and otp_secret (base32, or an otpauth:// URI).

    Each account is made in a transaction of its own: run it again to go on where it ended. A
    record that is refused is named with its reason, the others are taken over, and the exit
    code is 1.
    """
    report = _Report()
    problem = None
    try:
        format_ = format_of(file, format_)
        with output.opened() as flows, output.progress("Importing") as progress:
            run = _Run(flows, report, on_conflict, dry_run=dry_run)
            for record in read_records(file, format_, progress):
                run.take(record, allow_no_password=allow_no_password)
    except FileProblemError as error:
        problem = str(error)
    except TwinlockError:
        if report.taken_over:
            output.note(f"Broken off after {report.taken_over} accounts; run it again to go on.")
        raise
    _tell(report, problem, dry_run=dry_run, as_json=as_json)
    if format_ is Format.PYTHON and (lines := changes_elsewhere(file)):
        shown = ", ".join(map(str, lines[:10]))
        output.note(f"The program changes its users by code, which was not run: see line {shown}.")
    if report.refused or problem:
        raise typer.Exit(output.REFUSED)


class _Run:
    """Carries records from the file to the flow, and notes what became of each."""

    def __init__(
        self, flows: Flows, report: _Report, on_conflict: OnConflict, *, dry_run: bool
    ) -> None:
        factor = flows.parts.factors.get(_METHOD)
        assert factor is not None  # noqa: S101 - composition.py gives every installation this factor
        self._importing = Importing(flows.administration, factor, is_rehearsal=dry_run)
        self._clock = flows.parts.clock
        self._caller: Caller = output.caller()
        self._report = report
        self._on_conflict = on_conflict

    def take(self, found: Found | Unreadable, *, allow_no_password: bool) -> None:
        """Take one record over, or note why not."""
        if isinstance(found, Unreadable):
            self._refuse(found.place, found.name, found.reason)
            return
        try:
            record = understand(found, allow_no_password=allow_no_password)
        except RecordError as error:
            self._refuse(found.place, name_of(found), str(error))
            return
        new = record.new
        done = self._importing.take_over(new, record.uri, _LABEL, self._caller, now=self._clock())
        match done:
            case TakenOver():
                self._report.taken_over += 1
                self._report.with_factor += record.uri is not None
                self._report.ignored.update(record.ignored)
                if ADMIN in new.roles:
                    self._report.admins.append(new.username)
            case Existing() if self._on_conflict is OnConflict.SKIP:
                self._report.skipped.append(_entry(found.place, new.username, _EXISTS))
            case Existing():
                self._refuse(found.place, new.username, _EXISTS)
            case Refused():
                self._refuse(found.place, new.username, done.message)

    def _refuse(self, place: str, name: str | None, reason: str) -> None:
        self._report.refused.append(_entry(place, name, reason))


_EXISTS: Final = "There is an account of this name already."


def _entry(place: str, name: str | None, reason: str) -> dict[str, str | None]:
    return {"place": place, "username": name, "reason": reason}


def _tell(report: _Report, problem: str | None, *, dry_run: bool, as_json: bool) -> None:
    done = "To be taken over" if dry_run else "Taken over"
    lines = [
        f"{done}: {report.taken_over}, of these with an authenticator app: {report.with_factor}.",
        f"Skipped: {len(report.skipped)}. Refused: {len(report.refused)}.",
    ]
    if report.admins:
        lines.append(f"Administrators: {output.safe(', '.join(report.admins))}.")
    if report.ignored:
        shown = ", ".join(sorted(report.ignored))
        lines.append(f"Fields that mean nothing here: {output.safe(shown)}.")
    if not as_json:
        _note_all("Skipped", report.skipped)
        _note_all("Refused", report.refused)
    if problem:
        output.note(f"twinlock: {problem}")
    output.show(_facts(report, problem, dry_run=dry_run), *lines, as_json=as_json)


def _note_all(what: str, entries: list[dict[str, str | None]]) -> None:
    for one in entries:
        name = f" {output.safe(one['username'])}" if one["username"] else ""
        output.note(f"{what} {one['place']}{name}: {one['reason']}")


def _facts(report: _Report, problem: str | None, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "taken_over": report.taken_over,
        "with_authenticator": report.with_factor,
        "administrators": report.admins,
        "skipped": report.skipped,
        "refused": report.refused,
        "ignored_fields": sorted(report.ignored),
        "problem": problem,
    }
