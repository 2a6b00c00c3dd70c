"""The projects that we are compared with, each installed by name into an environment of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.processes import SCRATCH

# The same FastAPI and server as ours: only what stands on them is compared.
_SERVER: Final = ("uvicorn", "uvloop", "httptools")
_FASTAPI: Final = ("fastapi", "starlette", "pydantic", *_SERVER)


@dataclass(frozen=True, slots=True)
class Peer:
    """A project, and the versions that it is measured with.

    Attributes:
        shared: What it takes in the version that we run on.
        pinned: What else it needs.
    """

    name: str
    shared: tuple[str, ...]
    pinned: tuple[str, ...]


TUTORIAL: Final = Peer(
    "tutorial", _FASTAPI, ("PyJWT==2.15.1", "bcrypt==5.0.0", "python-multipart==0.0.34")
)
FASTAPI_USERS: Final = Peer(
    "fastapi-users",
    _FASTAPI,
    (
        "fastapi-users[sqlalchemy]==15.0.5",
        "fastapi-users-db-sqlalchemy==7.0.0",
        "aiosqlite==0.22.1",
    ),
)
AUTHX: Final = Peer("authx", _FASTAPI, ("authx==1.7.1", "python-multipart==0.0.34"))
CRUDAUTH: Final = Peer(
    "crudauth", _FASTAPI, ("crudauth==0.8.2", "sqlalchemy[asyncio]>=2,<2.1", "aiosqlite==0.22.1")
)
ALLAUTH: Final = Peer("allauth", _SERVER, ("django-allauth[headless]==65.21.1", "Django>=5.2,<5.3"))


def install(peer: Peer) -> Path | None:
    """Return the Python of the peer's environment, or None where it cannot be made."""
    folder = SCRATCH / "peers" / peer.name
    python, stamp = folder / "bin" / "python", folder / "installed.json"
    wanted = [*(f"{name}=={version(name)}" for name in peer.shared), *peer.pinned]
    if stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return python
    print(f"  installing {peer.name} into {folder} …", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True, stderr=subprocess.PIPE)
    except subprocess.CalledProcessError as error:
        print(f"  without {peer.name}: {error}")
        return None
    stamp.write_text(json.dumps(wanted))
    return python
