"""Type checkers refuse what `cases.py` says they must, and nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("cases.py")
LISTED = re.compile(r"  # type: ignore\[([a-z,-]+)\]$", re.MULTILINE)

Errors = dict[int, set[str]]


def listed() -> Errors:
    """Return the errors that the cases list, by line."""
    found = {}
    for number, line in enumerate(CASES.read_text().splitlines(), start=1):
        if match := LISTED.search(line):
            found[number] = set(match[1].split(","))
    return found


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The cases with nothing ignored."""
    path = tmp_path / "cases.py"
    path.write_text(LISTED.sub("", CASES.read_text()))
    return path


def test_the_cases_are_many() -> None:
    assert len(listed()) > 30


def test_mypy_refuses_what_is_listed_and_nothing_else(bare: Path) -> None:
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary", "--no-pretty"]

    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(bare)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    found: Errors = {}
    for line, code in re.findall(r"^.*?:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE):
        found.setdefault(int(line), set()).add(code)
    assert found == listed(), done.stdout + done.stderr


def test_pyright_refuses_the_same_lines(bare: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("basedpyright")
    settings = {
        "include": [bare.name],
        "extraPaths": [str(ROOT / "src")],
        "pythonVersion": "3.11",
        "typeCheckingMode": "strict",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))

    done = subprocess.run(
        [program, "--project", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
    )

    told = json.loads(done.stdout)["generalDiagnostics"]
    lines = {one["range"]["start"]["line"] + 1 for one in told if one["severity"] == "error"}
    assert lines == set(listed()), done.stdout
