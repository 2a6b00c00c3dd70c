"""``twinlock audit``: list, export and verify the log of what happened."""

import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from sqlalchemy import Row

from twinlock.audit.events import EventType
from twinlock.audit.store import NEWEST
from twinlock.cli import output
from twinlock.config.settings import Settings
from twinlock.core import clock
from twinlock.flows import auditing, chaining, event_lines
from twinlock.flows.chaining import Damage, Damaged, Head, Verification
from twinlock.flows.event_ids import moment_of

app = output.group("List, export and verify the log of what happened.")

_SPANS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_HEAD: Final = re.compile(r"([1-9][0-9]{0,8}):([0-9a-f]{64})")


class ExportFormat(StrEnum):
    """How events are written out."""

    JSONL = "jsonl"
    CSV = "csv"


def _read_since(text: str | None) -> datetime | None:
    """Return the moment of ``2026-01-31``, ``2026-01-31T10:00Z`` or ``7d``."""
    if text is None:
        return None
    try:
        if text[-1:] in _SPANS:
            return clock.utc_now() - int(text[:-1]) * _SPANS[text[-1]]
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            "A date (2026-01-31), a moment (2026-01-31T10:00Z) or a span (30m, 24h, 7d)."
        ) from error


def _read_cursor(text: str | None) -> str | None:
    if text is not None and not re.fullmatch("[0-9a-f]{32}", text):
        raise typer.BadParameter("This is no cursor of a list.")
    return text


def _read_head(text: str | None) -> Head | None:
    if text is None:
        return None
    found = _HEAD.fullmatch(text)
    if found is None:
        raise typer.BadParameter("A head is a number, a colon and 64 hex digits.")
    return Head(int(found[1]), bytes.fromhex(found[2]))


Since = Annotated[
    str | None,
    typer.Option(help="Only since then: a date, a moment in ISO 8601, or 30m, 24h, 7d ago."),
]


@app.command("list")
def list_events(
    *,
    user: Annotated[
        str | None, typer.Option(help="Only this account: user name, e-mail address or id.")
    ] = None,
    type_: Annotated[
        EventType | None, typer.Option("--type", help="Only this type.", show_choices=False)
    ] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    cursor: Annotated[
        str | None,
        typer.Option(
            callback=_read_cursor, help="Where to go on: the cursor that the last list gave."
        ),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """List events, the newest first."""
    oldest = _read_since(since)
    with output.opened() as flows:
        page = auditing.list_events(
            flows.parts, user=user, type_=type_, since=oldest, before=cursor or NEWEST, limit=limit
        )
    if page is None:
        output.refuse(f"There is no account {output.safe(user or '')}.")
    facts = [_facts(row, page.usernames.get(row.subject_id)) for row in page.events]
    shown = ("at", "type", "username", "reason", "method", "ip", "actor", "count")
    rows = [[one["username"] or one["subject"] if key == "username" else one[key] for key in shown]
            for one in facts]  # fmt: skip
    output.show(
        {"events": facts, "next_cursor": page.next_cursor},
        output.table(("at", "type", "account", *shown[3:]), rows),
        *([f"More: --cursor {page.next_cursor}"] if page.next_cursor else []),
        as_json=as_json,
    )


@app.command("export")
def export_events(
    *,
    format_: Annotated[ExportFormat, typer.Option("--format", help="How to write them.")] = (
        ExportFormat.JSONL
    ),
    since: Since = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", callback=output.note_json, help="The same as --format jsonl."),
    ] = False,
) -> None:
    """Write events to standard output, the oldest first."""
    oldest = _read_since(since)
    is_json = as_json or format_ is ExportFormat.JSONL
    line_of = event_lines.json_line if is_json else event_lines.csv_line
    if not is_json:
        sys.stdout.write(event_lines.csv_heading())
    with output.opened() as flows, output.progress("Exporting") as progress:
        total = auditing.count_events(flows.parts, since=oldest)
        events = auditing.export_events(flows.parts, since=oldest)
        for number, row in enumerate(events, start=1):
            sys.stdout.write(line_of(row))
            progress(min(1.0, number / max(1, total)))


@app.command("verify")
def verify_events(
    *,
    head: Annotated[
        str | None,
        typer.Option(help="A head that was noted earlier, and must still be in the chain."),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Recompute the chain over the events, and name what was changed, added or removed.

    Note the head that this prints somewhere else, and give it the next time: it shows whether
    the newest part of the log was cut off.
    """
    expected = _read_head(head)
    settings = Settings()
    found = Verification()
    with output.opened(settings) as flows, output.progress("Verifying") as progress:
        total = chaining.count_batches(flows.parts)
        steps = chaining.verify(
            flows.parts,
            keep_events=settings.event_retention,
            expected=expected,
            now=flows.parts.clock(),
        )
        for found in steps:
            progress(min(1.0, (found.whole + found.expired) / max(1, total)))
    output.show(_verification_facts(found), *_verification_lines(found), as_json=as_json)
    if found.damaged:
        raise typer.Exit(output.REFUSED)


def _facts(row: Row[Any], username: str | None) -> dict[str, Any]:
    return {**event_lines.facts_of(row), "username": username}


def _verification_lines(found: Verification) -> Iterable[str]:
    yield f"{found.events} events in {found.whole} batches are as they were written."
    if found.expired:
        yield f"{found.expired} batches are older than events are kept, and were not compared."
    if found.unchained:
        yield f"{found.unchained} events are not chained yet; a running server does it."
    if found.damaged:
        yield f"DAMAGED, the first of {len(found.damaged)}: {_damage_line(found.damaged[0])}"
    if found.head:
        yield f"Head: {_head(found.head)}"


def _damage_line(one: Damaged) -> str:
    what = {
        Damage.BATCH_MISSING: "is missing",
        Damage.BATCH_CHANGED: "was changed itself, or does not follow the one before",
        Damage.EVENTS_MISSING: "has lost events",
        Damage.EVENTS_ADDED: "has events that were added later",
        Damage.EVENTS_CHANGED: "has events that were changed",
        Damage.HEAD_MISSING: "is not in the chain as it was noted",
    }[one.damage]
    if one.batch is None:
        return f"batch {one.number} {what}."
    begin, end = (_moment(one.batch.from_id), _moment(one.batch.to_id))
    counts = f"{one.found} of {one.batch.events} events found"
    return f"batch {one.number} ({begin} to {end}, {counts}) {what}."


def _verification_facts(found: Verification) -> dict[str, Any]:
    return {
        "whole_batches": found.whole,
        "whole_events": found.events,
        "expired_batches": found.expired,
        "unchained_events": found.unchained,
        "damaged": [
            {
                "batch": one.number,
                "damage": one.damage,
                "from_id": one.batch.from_id if one.batch else None,
                "to_id": one.batch.to_id if one.batch else None,
                "events": one.batch.events if one.batch else None,
                "events_found": one.found if one.batch else None,
            }
            for one in found.damaged
        ],
        "head": _head(found.head) if found.head else None,
    }


def _head(head: Head) -> str:
    return f"{head.number}:{head.digest.hex()}"


def _moment(event_id: str) -> str:
    moment = moment_of(event_id)
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "?"
