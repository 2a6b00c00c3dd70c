"""Installations for the examples, made by commands as a reader makes them.

Each is made once and copied for every test: commands take seconds, copies milliseconds.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PASSWORD = "correct horse battery staple"

Environment = dict[str, str]
Copy = Callable[[Path], None]


def environment(folder: Path) -> Environment:
    """Return the settings of an installation in *folder*, with a cheap hash."""
    return {
        "TWINLOCK_ENVIRONMENT": "development",
        "TWINLOCK_DATA_DIR": str(folder),
        "TWINLOCK_HASH_MEMORY_KIB": "64",
        "TWINLOCK_HASH_ITERATIONS": "1",
    }


def twinlock(folder: Path, *words: str, stdin: str = "") -> None:
    """Run a command on the installation in *folder*."""
    done = subprocess.run(
        [sys.executable, "-m", "twinlock", *words],
        check=False,
        input=stdin,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment(folder)},
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def load(path: Path) -> ModuleType:
    """Import an example by its file, anew."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Pydantic looks generic models up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def with_johndoe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installation with the user johndoe, who has a password."""
    folder = tmp_path_factory.mktemp("johndoe") / "data"
    twinlock(folder, "init")
    words = ["user", "create", "johndoe", "--email", "johndoe@example.com", "--password-stdin"]
    twinlock(folder, *words, stdin=PASSWORD + "\n")
    return folder


@pytest.fixture
def use_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Give this test a copy of an installation, named in its environment."""

    def copy(folder: Path) -> None:
        mine = tmp_path / "data"
        shutil.copytree(folder, mine)
        for name, value in environment(mine).items():
            monkeypatch.setenv(name, value)

    return copy
