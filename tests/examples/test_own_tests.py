"""The example of tests passes in a suite of its own, and the page shows it as it is."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.test_docs import DOCS, blocks
from tests.examples.conftest import EXAMPLES

OWN_TESTS = EXAMPLES / "own_tests"


def test_the_suite_of_the_example_passes(tmp_path: Path) -> None:
    suite = shutil.copytree(OWN_TESTS, tmp_path / "suite")
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:randomly"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=suite,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_the_suite_of_the_example_refuses_to_run_in_production(tmp_path: Path) -> None:
    suite = shutil.copytree(OWN_TESTS, tmp_path / "suite")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=suite,
        env={"TWINLOCK_ENVIRONMENT": "production"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "twinlock.testing does not work where TWINLOCK_ENVIRONMENT is production" in done.stdout


def test_the_page_quotes_the_example_as_it_is() -> None:
    source = (OWN_TESTS / "test_app.py").read_text()
    first, *_, phone = blocks(DOCS / "how-to" / "test-your-app.md", "python")

    assert first in source
    assert phone in source
