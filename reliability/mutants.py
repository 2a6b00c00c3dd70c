"""Goal R8: break the code on purpose, one place at a time; the tests must notice.

mutmut changes bodies of functions in a copy of the checkout. A mutant that no test notices
*survived*; its change is printed, for it is a test that is missing, or a line that nothing needs.
The SQL of the stores stands in constants, which mutmut leaves alone.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from reliability.report import Report

GOAL = 0.95
WORKERS = os.cpu_count() or 1

_PLAN = ROOT / "reliability" / "mutants.toml"
_PYTEST = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-n", "0"]
_PYTEST += ["-m", "not postgres and not browser and not nginx"]
# Words of errors and logs are no promise, and a codec's name has many spellings.
_NOT_MUTATED = [r"^\s*raise ", r"\blog\.", r'"ascii"', r'"utf-8"']
_SURVIVED, _NO_TESTS = 0, 33


def run(*, only: str = "") -> Report:
    """Mutate the functions of the modules named in the plan.

    Args:
        only: Part of a module's path; empty for all.
    """
    report = Report("Mutants (R8)")
    for group in plan(only):
        with _copy() as copy:
            _configure(copy, group)
            _mutmut(copy, "run", "--max-children", str(WORKERS))
            for meta in sorted(copy.glob("mutants/src/**/*.meta")):
                module = str(meta.relative_to(copy / "mutants/src/twinlock")).removesuffix(".meta")
                _judge(report, module, json.loads(meta.read_text("utf-8")), copy)
    return _judged(report)


def _judge(report: Report, module: str, meta: dict[str, Any], copy: Path) -> None:
    codes: dict[str, int | None] = meta["exit_code_by_key"]
    found = Counter("killed" for code in codes.values() if code not in {_SURVIVED, _NO_TESTS})
    for name, code in codes.items():
        if code in {_SURVIVED, _NO_TESTS}:
            found["survived"] += 1
            shown = _mutmut(copy, "show", name).splitlines()
            change = [line for line in shown if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
            print(f"  survived: {name}\n    " + "\n    ".join(change), flush=True)
    _count(report, module, found)


def _judged(report: Report) -> Report:
    killed, survived = report.counts["killed"], report.counts["survived"]
    share = killed / ((killed + survived) or 1)
    report.expect(share >= GOAL, f"{share:.1%} of the mutants were killed, {GOAL:.0%} are wanted")
    report.tried = f"{killed + survived:,} mutants, {share:.1%} killed"
    return report


def _count(report: Report, module: str, found: Counter[str]) -> None:
    report.counts.update(found)
    line = f"{module}: {found['killed']} of {found['killed'] + found['survived']} killed"
    report.lines.append(line)
    print(line, flush=True)


def plan(only: str = "") -> Iterator[dict[str, Any]]:
    """Yield groups of modules with the tests that must notice, cut to what is asked for."""
    for group in tomllib.loads(_PLAN.read_text("utf-8"))["group"]:
        modules = [module for module in group["modules"] if only in module]
        if modules:
            yield group | {"modules": modules}


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="twinlock-mutants-") as folder:
        _write_checkout(Path(folder) / "checkout")
        yield Path(folder) / "checkout"


def _write_checkout(copy: Path) -> None:
    """Copy what git knows, as it stands now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)


def _configure(copy: Path, group: dict[str, Any]) -> None:
    settings = {
        "source_paths": ["src/twinlock"],
        "only_mutate": [f"src/twinlock/{module}" for module in group["modules"]],
        "also_copy": [one.name for one in copy.iterdir() if one.name not in {"tests", "mutants"}],
        "do_not_mutate_patterns": _NOT_MUTATED,
        "pytest_add_cli_args": _PYTEST[1:],
        "pytest_add_cli_args_test_selection": group["tests"],
    }
    with (copy / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write("\n[tool.mutmut]\n")
        project.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


def _mutmut(copy: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *words], cwd=copy, capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout.decode()[-2000:] + done.stderr.decode()[-2000:])
    return done.stdout.decode()
