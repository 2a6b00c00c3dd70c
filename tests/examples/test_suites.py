"""Every example has a page with its one command, which runs it, and its own tests pass."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.e2e.test_first_ten_minutes import wait_until_ready
from tests.examples.conftest import EXAMPLES, ROOT

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("[a-z]*/README.md"))
WITH_TESTS = sorted(path.parent.name for path in EXAMPLES.glob("[a-z]*/test_app.py"))


def test_every_example_has_a_page_that_says_its_command() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("[a-z]*/*.py")} - {"import_users"}

    assert set(NAMES) == folders
    listed = (EXAMPLES / "README.md").read_text()
    for name in NAMES:
        page = (EXAMPLES / name / "README.md").read_text()
        assert f"$ .venv/bin/python examples/run.py {name}\n" in page
        assert f"({name}/README.md)" in listed


@pytest.mark.parametrize("name", WITH_TESTS)
def test_the_suite_of_an_example_passes(name: str) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"examples/{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_one_command_runs_the_example(name: str, tmp_path: Path) -> None:
    copied = shutil.copytree(
        EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("twinlock-data")
    )
    port = free_port_before_another()
    env = {key: value for key, value in os.environ.items() if not key.startswith("TWINLOCK_")}
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, "examples/run.py", name, str(port)],
            cwd=copied.parent,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with httpx2.Client(base_url=f"http://localhost:{port}", trust_env=False) as client:
            wait_until_ready(client, running, path="/openapi.json")
    except pytest.fail.Exception as failed:
        pytest.fail(f"{failed}\n{(tmp_path / 'log').read_text()}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGINT)
        running.wait(timeout=30)


def free_port_before_another() -> int:
    """Return a free port whose next is free, too: a service stands beside its login server."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                other.bind(("127.0.0.1", port + 1))
                return port


def test_an_unknown_example_is_told_which_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "examples/run.py", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "single_page_app" in done.stderr
