"""One table for people, one line of JSON for the history, one table for the docs."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.results import Result

HISTORY = ROOT / "benchmarks" / "history.jsonl"
PAGE = ROOT / "docs" / "performance.md"
_COMPARED = 5
_TOLERANCE = 0.05
_BEGIN = "<!-- measured: begin -->"
_END = "<!-- measured: end -->"


def print_results(results: list[Result]) -> None:
    """Print the results as a table."""
    for one in results:
        mark = {True: "reached", False: "MISSED", None: ""}[one.is_reached]
        print(
            f"{one.goal_id:4} {one.what:62} {_value(one):>10} {_spread(one):>16}"
            f" {_goal(one):>10} {mark:8} {one.note}",
            flush=True,
        )


def keep(results: list[Result], *, is_full: bool) -> None:
    """Append to the history and bring the page of the docs up to date."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "full": is_full,
        "machine": machine(),
        "results": [_as_json(one) for one in results],
    }
    with HISTORY.open("a", encoding="utf-8") as history:
        history.write(json.dumps(line, ensure_ascii=False) + "\n")
    _write_page(_latest())


def print_regressions(results: list[Result]) -> None:
    """Print what came out worse than in the earlier runs of this kind of machine.

    Worse means beyond every one of the last five runs, and by more than a twentieth: a busy
    machine makes a single run worth little.
    """
    for one in results:
        earlier = _earlier(one)[-_COMPARED:]
        if len(earlier) < 2 or one.is_reached is None:
            continue
        less_is_better = one.at_most is not None
        worst = max(earlier) if less_is_better else min(earlier)
        limit = worst * (1 + _TOLERANCE if less_is_better else 1 - _TOLERANCE)
        if (one.value > limit) if less_is_better else (one.value < limit):
            print(
                f"REGRESSION {one.goal_id} {one.what}: {_value(one)}, "
                f"in the last {len(earlier)} runs {_number(min(earlier))}–{_number(max(earlier))}",
                flush=True,
            )


def _earlier(one: Result) -> list[float]:
    here = machine()
    lines = [json.loads(text) for text in HISTORY.read_text(encoding="utf-8").splitlines()]
    return [
        found["number"]
        for line in lines
        if (line["machine"]["cores"], line["machine"]["python"]) == (here["cores"], here["python"])
        for found in line["results"]
        if (found["goal"], found["what"]) == (one.goal_id, one.what)
    ]


def machine() -> dict[str, Any]:
    """Describe the machine as far as a reader needs to compare."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "fastapi": version("fastapi"),
        "uvicorn": version("uvicorn"),
    }


def _latest() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return the newest result of each thing measured: day, machine, result."""
    newest: dict[tuple[str, str], tuple[str, dict[str, Any], dict[str, Any]]] = {}
    for text in HISTORY.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        measured_again = {one["goal"] for one in line["results"]}
        newest = {key: value for key, value in newest.items() if key[0] not in measured_again}
        for one in line["results"]:
            newest[one["goal"], one["what"]] = (line["at"][:10], line["machine"], one)
    return [newest[key] for key in sorted(newest, key=lambda key: int(key[0][1:]))]


def _write_page(latest: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> None:
    machines = {
        f"{one['cores']} cores, {one['system']} {one['architecture']}, Python {one['python']}, "
        f"FastAPI {one['fastapi']}, uvicorn {one['uvicorn']} with uvloop and httptools"
        for _, one, _ in latest
    }
    lines = [f"Measured on {'; '.join(sorted(machines))}.", ""]
    lines += [
        "| goal | what | measured | rounds | wanted | | day |",
        "|---|---|---|---|---|---|---|",
    ]
    for day, _, one in latest:
        mark = {True: "reached", False: "**missed**", None: ""}[one["reached"]]
        lines.append(
            f"| {one['goal']} | {one['what']} | {one['value']} | {one['spread']} "
            f"| {one['wanted']} | {mark} | {day} |"
        )
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}{after}", encoding="utf-8")


def _as_json(one: Result) -> dict[str, Any]:
    return {
        "goal": one.goal_id,
        "what": one.what,
        "number": round(one.value, 4),
        "value": _value(one),
        "spread": _spread(one),
        "wanted": _goal(one),
        "reached": one.is_reached,
        "note": one.note,
    }


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, check=False
    )
    return found.stdout.decode().strip()


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _value(one: Result) -> str:
    return f"×{_number(one.value)}" if one.unit == "×" else f"{_number(one.value)} {one.unit}"


def _spread(one: Result) -> str:
    return f"{_number(one.spread[0])}–{_number(one.spread[1])}" if one.spread else ""


def _goal(one: Result) -> str:
    if one.at_most is not None:
        return f"≤ {_number(one.at_most)}"
    return f"≥ {_number(one.at_least)}" if one.at_least is not None else ""
