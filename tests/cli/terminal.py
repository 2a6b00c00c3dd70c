"""A person at a terminal: answers what the command line asks there."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Told:
    """What a command answered at a terminal."""

    code: int
    stdout: str
    stderr: str


def at_terminal(
    arguments: list[str],
    dialogue: list[tuple[str, str]],
    *,
    folder: Path,
    environ: Mapping[str, str],
) -> Told:
    """Run a command at a terminal of its own.

    Args:
        arguments: The command, without ``twinlock``.
        dialogue: What is waited for, and what is then typed.
        folder: The working directory.
        environ: Variables set beside those of this process.
    """
    person, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "twinlock", *arguments],
            cwd=folder,
            env={**os.environ, **environ},
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            seen = b""
            try:
                for awaited, typed in dialogue:
                    already = len(seen)
                    while awaited.encode() not in seen[already:]:
                        byte = process.stderr.read(1)
                        assert byte, f"waited for {awaited!r} after {seen.decode()!r}"
                        seen += byte
                    os.write(person, f"{typed}\n".encode())
                stdout = process.stdout.read()
                seen += process.stderr.read()
                return Told(process.wait(), stdout.decode(), seen.decode())
            finally:
                process.kill()
    finally:
        os.close(person)
        os.close(terminal)


def run(arguments: list[str], *, folder: Path, environ: Mapping[str, str], stdin: str = "") -> Told:
    """Run a command as a script would, with *stdin* as its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "twinlock", *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, **environ},
        input=stdin,
        capture_output=True,
        text=True,
    )
    return Told(done.returncode, done.stdout, done.stderr)
