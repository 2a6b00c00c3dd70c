"""What runs found, kept in a file and shown in the docs: written by the commands themselves."""

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.report import machine
from reliability.report import Report

HISTORY = ROOT / "reliability" / "history.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
_BEGIN = "<!-- recorded: begin -->"
_END = "<!-- recorded: end -->"


def keep(report: Report, *, goal: str, what: str, seconds: float) -> None:
    """Append a run to the history and bring the page of the docs up to date.

    Args:
        goal: The goal that it tries, such as ``R1``.
        what: What was run, the same words each time, so that the newest run stands for it.
        seconds: How long it took.
    """
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "goal": goal,
        "what": what,
        "title": report.title,
        "tried": report.tried,
        "minutes": round(seconds / 60, 1),
        "checks": report.counts["checks"],
        "broken": len(report.broken) + report.surprises.total(),
        "counts": dict(sorted(report.counts.items())),
        "lines": report.lines,
        "machine": machine(),
    }
    with HISTORY.open("a", encoding="utf-8") as history:
        history.write(json.dumps(line, ensure_ascii=False) + "\n")
    write_page()


def write_page() -> None:
    """Write the table of the docs anew from the history: the newest run of each kind."""
    lines = [json.loads(text) for text in HISTORY.read_text(encoding="utf-8").splitlines()]
    newest: dict[str, dict[str, Any]] = {one["what"]: one for one in lines}
    table = [
        "| goal | what | tried | checks | broken | minutes | day |",
        "|---|---|---|---|---|---|---|",
    ]
    table += [
        f"| {one['goal']} | {one['what']} | {one['tried']} | {one['checks']:,} "
        f"| {one['broken'] or 'none'} | {one['minutes']} | {one['at'][:10]} |"
        for one in sorted(newest.values(), key=lambda one: (int(one["goal"][1:]), one["what"]))
    ]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    written = "\n".join(table)
    PAGE.write_text(f"{before}{_BEGIN}\n{written}\n{_END}{after}", encoding="utf-8")


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, check=False
    )
    return found.stdout.decode().strip()
