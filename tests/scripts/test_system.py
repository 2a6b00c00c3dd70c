"""The search for system programs says what is missing and what to type."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import system

SCRIPT = Path(system.__file__)


def check(programs: Path) -> subprocess.CompletedProcess[str]:
    """Look for what is needed where only *programs* are on the PATH, installing nothing."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--check"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def put(folder: Path, *names: str) -> None:
    """Put programs of these names into *folder* that do nothing."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


def test_what_is_missing_is_named_with_the_command_to_type(tmp_path: Path) -> None:
    put(tmp_path, "apt-get", "uv", "initdb", "pg_ctl", "chromium", "nginx")

    done = check(tmp_path)

    assert done.returncode == 1
    assert "missing: oathtool, zbarimg." in done.stderr
    assert "apt-get install oathtool zbar-tools" in done.stderr
    assert "make test-fast" in done.stderr


def test_an_unknown_system_is_told_the_names(tmp_path: Path) -> None:
    put(tmp_path, "uv", "initdb", "pg_ctl", "chromium", "nginx", "oathtool")

    done = check(tmp_path)

    assert done.returncode == 1
    assert "missing: zbarimg. Install" in done.stderr


def test_nothing_is_said_where_nothing_is_missing(tmp_path: Path) -> None:
    put(tmp_path, "uv", "initdb", "pg_ctl", "chromium", "nginx", "oathtool", "zbarimg")

    done = check(tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("manager", ["apt-get", "dnf", "apk", "brew"])
def test_every_package_manager_knows_every_program(manager: str) -> None:
    unknown = [need.name for need in system.needs() if manager not in need.packages]

    assert unknown in ([], ["Python's ensurepip"])


@pytest.mark.parametrize(
    "path, version",
    [
        ("/usr/lib/postgresql/17/bin", 17),
        ("/usr/lib/postgresql/9.6/bin", 9.6),
        ("/usr/libexec/postgresql16", 16),
        ("/opt/homebrew/opt/postgresql@18/bin", 18),
        ("/usr/local/opt/postgresql/bin", 0),
    ],
)
def test_the_version_is_read_from_the_path(path: str, version: float) -> None:
    assert system.version_in(Path(path)) == version
