"""The projects that we are compared with, installed by name into an environment of their own."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import SCRATCH

_ENVIRONMENT = SCRATCH / "venv"
PYTHON = _ENVIRONMENT / "bin" / "python"
# The same FastAPI and server as ours: only what stands on them is compared.
_SHARED = ("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools")
_PEERS = (
    "PyJWT>=2.10",
    "bcrypt>=4",
    "python-multipart",
    "fastapi-users[sqlalchemy]>=15,<16",
    "aiosqlite",
)


def install() -> Path | None:
    """Return the Python of the peers' environment, or None where it cannot be made."""
    wanted = [*(f"{name}=={version(name)}" for name in _SHARED), *_PEERS]
    stamp = _ENVIRONMENT / "installed.json"
    if stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return PYTHON
    print("  installing the peers into .bench/venv …", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_ENVIRONMENT)], check=True)
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True, stderr=subprocess.PIPE)
    except subprocess.CalledProcessError as error:
        print(f"  without the peers: {error}")
        return None
    stamp.write_text(json.dumps(wanted))
    return PYTHON
