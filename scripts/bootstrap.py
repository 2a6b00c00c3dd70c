"""Make or refresh `.venv` from `requirements.lock`, with uv where there is one and pip where not.

Needs nothing but Python itself. Does nothing, quickly, when the environment already fits.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".stamp"
LOCK = ROOT / "requirements.lock"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
PIP = ("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
OLDEST = (3, 11)

NO_VENV = """\
This Python cannot make a virtual environment with pip: its `ensurepip` module is missing.
On Debian and Ubuntu type
    apt-get install python3-venv
and repeat. (With uv on the PATH it is not needed.)"""

FAILED = """\
The environment could not be made: the command above failed.
If the network is at fault, repeat. To start anew, type
    make clean setup"""


def main() -> int:
    """Bring the environment in line with the lock; return the exit code."""
    if sys.version_info < OLDEST:
        version = ".".join(map(str, OLDEST))
        return fail(f"Twinlock needs Python {version} or newer; this is {sys.version.split()[0]}.")
    with (ROOT / "pyproject.toml").open("rb") as pyproject:
        wait_for_others(pyproject.fileno())
        return refresh()


def refresh() -> int:
    """Do what is missing, and nothing when nothing is; return the exit code."""
    place, packages, project = place_mark(), packages_mark(), project_mark()
    done = STAMP.read_text(encoding="ascii").splitlines() if STAMP.exists() else []
    if PYTHON.exists() and done == [place, packages, project]:
        return 0
    uv = None if os.environ.get("BOOTSTRAP_WITH") == "pip" else shutil.which("uv")
    if uv is None and importlib.util.find_spec("ensurepip") is None:
        return fail(NO_VENV)
    STAMP.unlink(missing_ok=True)
    try:
        if not PYTHON.exists() or done[:2] != [place, packages]:
            say(f"Filling .venv with {'uv' if uv else 'pip'} from requirements.lock; this")
            say("happens once and takes some minutes: it is 1 GB, with every tool of development.")
            # pip cannot remove what the lock no longer names, so it starts from nothing; uv can.
            if uv is None or done[:1] != [place]:
                venv.create(VENV, clear=VENV.exists(), with_pip=uv is None)
            install_packages(uv)
        install_project(uv)
    except subprocess.CalledProcessError as error:
        return fail(f"{' '.join(map(str, error.cmd))}\n{FAILED}")
    STAMP.write_text(f"{place}\n{packages}\n{project}\n", encoding="ascii")
    return 0


def install_packages(uv: str | None) -> None:
    """Install exactly what the lock names, each file checked against its hash.

    The lock is complete, and may overrule what a package says of another: nothing to resolve.
    """
    if uv:
        run(uv, "pip", "sync", "--quiet", "--python", str(PYTHON), "--require-hashes", str(LOCK))
    else:
        run(str(PYTHON), *PIP, "--no-deps", "--require-hashes", "-r", str(LOCK))


def install_project(uv: str | None) -> None:
    """Install the project itself, editable.

    The build backend comes from the lock like everything else: no isolated build, no download.
    """
    options = ("--no-deps", "--no-build-isolation", "-e", str(ROOT))
    if uv:
        run(uv, "pip", "install", "--quiet", "--python", str(PYTHON), *options)
    else:
        run(str(PYTHON), *PIP, *options)


def run(*command: str) -> None:
    """Run an installer, without the variables that could lead it elsewhere."""
    misleading = {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
    clean = {key: value for key, value in os.environ.items() if key not in misleading}
    subprocess.run(command, cwd=ROOT, check=True, env=clean)


def place_mark() -> str:
    """Return a digest of the interpreter and the folder: a moved environment is broken."""
    return digest(sys.version.encode() + os.fsencode(sys.base_prefix) + os.fsencode(VENV))


def packages_mark() -> str:
    """Return a digest of the lock."""
    return digest(LOCK.read_bytes())


def project_mark() -> str:
    """Return a digest of the parts of `pyproject.toml` that installing reads."""
    import tomllib

    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [tables["build-system"], tables["project"], tables["tool"]["hatch"]]
    return digest(json.dumps(parts, sort_keys=True).encode())


def digest(content: bytes) -> str:
    """Return the SHA-256 digest of *content* in hex."""
    return hashlib.sha256(content).hexdigest()


def wait_for_others(descriptor: int) -> None:
    """Let two `make` commands at once take turns, where the system can lock files."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def say(message: str) -> None:
    """Tell the person in front of it what happens."""
    print(f"bootstrap: {message}", flush=True)


def fail(message: str) -> int:
    """Tell what went wrong and return the exit code for it."""
    print(f"bootstrap: {message}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
