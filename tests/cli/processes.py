"""Real `twinlock` processes, started and always ended."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

END_SECONDS = 100


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process whose only settings are *environ*."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TWINLOCK_")}
    return own | dict(environ)


@contextmanager
def started(
    *arguments: str, environ: Mapping[str, str], folder: Path, log: IO[str] | int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """Start ``twinlock arguments`` and kill it at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "twinlock", *arguments],
        cwd=folder,
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
