"""Record the first ten minutes in a terminal as an SVG that plays by itself.

    python scripts/recording.py [FILE]

Every line is what the commands really print, in a folder that is thrown away; only waiting is cut.
Nothing in the picture is loaded from elsewhere, and who prefers less motion sees its end.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from twinlock.core import clock
from twinlock.testing.authenticator import FakeAuthenticator

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docs" / "images" / "first-ten-minutes.svg"
PASSWORD = "correct horse battery staple"
COLUMNS, ROWS = 104, 26
LINE, LEFT, TOP, CHAR = 19, 16, 40, 7.83
PAUSE, PER_LINE, AT_THE_END = 1.3, 0.09, 5.0
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Line:
    """A line of the terminal: what was typed, a remark, or what came back."""

    text: str
    kind: str = "out"


class Terminal:
    """Runs commands in one folder and remembers what was to be seen."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.lines: list[Line] = []
        self._env = {
            **os.environ,
            "TWINLOCK_ENVIRONMENT": "development",
            "TWINLOCK_PORT": str(port),
            "NO_COLOR": "1",
            "COLUMNS": str(COLUMNS),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def say(self, text: str) -> None:
        """Add a remark."""
        self.lines += [Line(""), Line(f"# {text}", "note")]

    def type(self, command: str) -> None:
        """Show what is typed, wrapped as a shell does."""
        first, *more = _wrapped(f"$ {command}")
        self.lines.append(Line(first[2:], "in"))
        self.lines += [Line(part, "in more") for part in more]

    def run(self, command: str, *, typed: str = "", most: int = 12) -> str:
        """Run a command, show it with its first lines, and return what it printed."""
        self.type(self._public(command))
        done = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self._env,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        printed = done.stdout + done.stderr
        if done.returncode:
            raise SystemExit(f"{command}: {printed}")
        self.show(printed, most=most)
        return printed

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start the server, and show what it says until it listens."""
        self.type(self._public(command))
        log = self.folder / "server.log"
        with log.open("w") as output:
            server = subprocess.Popen(
                shlex.split(command),
                cwd=self.folder,
                env=self._env,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        for _ in range(600):
            if "What to try" in log.read_text() and self._answers():
                break
            time.sleep(0.1)
        self.show(log.read_text(), most=10)
        return server

    def ask(self, command: str, **remembered: str) -> dict[str, Any]:
        """Run a command of curl as it stands there, and show the answer without long secrets.

        Args:
            remembered: Variables that the command names, beside the password.
        """
        self.type(command)
        done = subprocess.run(
            ["bash", "-c", command.replace("localhost:8000", f"localhost:{self.port}")],
            env={**self._env, "PASSWORD": PASSWORD, **remembered},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        body: dict[str, Any] = json.loads(done.stdout)
        self.show(json.dumps(_shortened(body), ensure_ascii=False))
        return body

    def show(self, printed: str, *, most: int = 12) -> None:
        """Show lines, wrapped as a terminal does."""
        plain = _ANSI.sub("", self._public(printed)).rstrip()
        wrapped = [part for line in plain.splitlines() for part in _wrapped(line)]
        self.lines += [Line(line) for line in wrapped[:most]]
        if len(wrapped) > most:
            self.lines.append(Line("…"))

    def _public(self, text: str) -> str:
        """Take out what belongs to this machine alone."""
        return text.replace(str(self.folder), ".").replace(
            f"localhost:{self.port}", "localhost:8000"
        )

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _shortened(value: Any) -> Any:
    """Return an answer as one shows it: long secrets cut, and of ten codes the first."""
    match value:
        case str() if len(value) > 40:
            return f"{value[:12]}…"
        case list() if len(value) > 3:
            return [_shortened(value[0]), "…"]
        case list():
            return [_shortened(one) for one in value]
        case dict():
            return {name: _shortened(one) for name, one in value.items()}
        case _:
            return value


def _wrapped(line: str) -> Iterator[str]:
    yield line[:COLUMNS]
    for at in range(COLUMNS, len(line), COLUMNS):
        yield line[at : at + COLUMNS]


def record(terminal: Terminal) -> list[Line]:
    """Go through the first ten minutes."""
    terminal.say("Minute 1: a server, with keys and a database of its own")
    server = terminal.start("twinlock serve --init")
    try:
        terminal.say("Minute 3: a user")
        terminal.run(
            "twinlock user create johndoe --email johndoe@example.com --password-stdin",
            typed=f"{PASSWORD}\n",
        )
        terminal.say("The request of FastAPI's tutorial for a token, and its user")
        token = 'curl -s localhost:8000/token -d username=johndoe -d "password=$PASSWORD"'
        bearer = '-H "Authorization: Bearer $TOKEN"'
        known = {"TOKEN": terminal.ask(f"{token} -d grant_type=password")["access_token"]}
        terminal.ask(f"curl -s localhost:8000/users/me {bearer}", **known)
        terminal.say("Minute 6: an authenticator app")
        factors = "curl -s localhost:8000/api/factors/totp"
        begun = terminal.ask(f"{factors} {bearer} --json '{{}}'", **known)
        phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
        answer = {"enrollment": begun["enrollment"], "answer": phone.code(clock.utc_now())}
        confirm = f'{factors}/confirm {bearer} --json "$CODE_OF_THE_APP"'
        terminal.ask(confirm, **known, CODE_OF_THE_APP=json.dumps(answer))
        terminal.say("Minute 9: the password alone opens nothing any more")
        terminal.ask(f"{token} -d grant_type=password")
        time.sleep(31 - time.time() % 30)  # the code that confirmed the app is spent
        code = phone.code(clock.utc_now())
        terminal.ask(f"{token} -d grant_type=password -d otp={code}")
        terminal.run("twinlock audit list --user johndoe", most=8)
    finally:
        server.terminate()
        server.wait()
    return terminal.lines


def drawn(lines: list[Line]) -> str:
    """Return the picture: lines come one after the other, and move up at the lower edge."""
    moments, moment = [], 0.6
    for line in lines:
        moment += PAUSE if line.kind in {"in", "note"} else PER_LINE
        moments.append(moment)
    whole = moment + AT_THE_END
    height = TOP + ROWS * LINE + 16
    width = int(LEFT * 2 + COLUMNS * CHAR)
    rules, texts, steps = [], [], ["0%{transform:translateY(0)}"]
    for number, (line, at) in enumerate(zip(lines, moments, strict=True)):
        part = 100 * at / whole
        rules.append(
            f"@keyframes l{number}{{0%,{part:.2f}%{{opacity:0}}{part + 0.01:.2f}%{{opacity:1}}}}"
        )
        prompt = '<tspan class="p">$ </tspan>' if line.kind == "in" else ""
        texts.append(
            f'<text class="{line.kind}" style="animation-name:l{number}" x="{LEFT}" '
            f'y="{TOP + (number + 1) * LINE}">{prompt}{escape(line.text)}</text>'
        )
        if number >= ROWS:
            up = (number - ROWS + 1) * LINE
            before = 100 * moments[number - 1] / whole
            steps.append(
                f"{max(before + 0.01, part - 0.01):.2f}%{{transform:translateY({LINE - up}px)}}"
            )
            steps.append(f"{part:.2f}%{{transform:translateY(-{up}px)}}")
    end = max(0, len(lines) - ROWS) * LINE
    steps.append(f"100%{{transform:translateY(-{end}px)}}")
    style = (
        "text{font:13px ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        "fill:#c8d6d5;white-space:pre;animation-fill-mode:both;"
        f"animation-duration:{whole:.1f}s;animation-iteration-count:infinite}}"
        ".in{fill:#fff}.note{fill:#e2b45c}.p{fill:#74c9ca}"
        f"#all{{animation:up {whole:.1f}s step-end infinite}}@keyframes up{{{''.join(steps)}}}"
        f"{''.join(rules)}"
        "@media(prefers-reduced-motion:reduce){text,#all{animation:none!important}"
        f"#all{{transform:translateY(-{end}px)}}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="The first ten minutes in a terminal">'
        f"<style>{style}</style>"
        f'<rect width="{width}" height="{height}" rx="10" fill="#0d1618"/>'
        '<circle cx="22" cy="20" r="6" fill="#2a3a3c"/><circle cx="42" cy="20" r="6" '
        'fill="#2a3a3c"/><circle cx="62" cy="20" r="6" fill="#2a3a3c"/>'
        f'<clipPath id="c"><rect y="{TOP}" width="{width}" height="{height - TOP - 8}"/></clipPath>'
        f'<g clip-path="url(#c)"><g id="all">{"".join(texts)}</g></g></svg>\n'
    )


def main(arguments: list[str]) -> int:
    """Record and write."""
    file = Path(arguments[0]) if arguments else FILE
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        lines = record(Terminal(Path(folder), port))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(drawn(lines), encoding="utf-8")
    print(f"{len(lines)} lines, {file.stat().st_size // 1024} KiB  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
