"""`twinlock serve`, as it runs: in processes of its own."""

import http.client
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.processes import END_SECONDS, environment, started
from twinlock.cli.http import MAX_HEADER_BYTES
from twinlock.config.groups.passwords import LEAST_HASH_ITERATIONS, LEAST_HASH_MEMORY_KIB

STRONG = {
    "TWINLOCK_HASH_MEMORY_KIB": str(LEAST_HASH_MEMORY_KIB),
    "TWINLOCK_HASH_ITERATIONS": str(LEAST_HASH_ITERATIONS),
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Running:
    """A server that serves."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=END_SECONDS)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        with closing(self.connect()) as connection:
            connection.request("GET", path, headers={"Host": f"localhost:{self.port}", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def post(self, path: str, form: str) -> tuple[int, Any]:
        headers = {
            "Host": f"localhost:{self.port}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        with closing(self.connect()) as connection:
            connection.request("POST", path, body=form, headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def stop(self, signal_number: int = signal.SIGTERM) -> tuple[str, str]:
        """End it and return the rest of what it showed, and its whole log."""
        self.process.send_signal(signal_number)
        assert self.process.stdout is not None
        shown = self.process.stdout.read()
        self.process.wait(END_SECONDS)
        return shown, self._log.read_text()


@contextmanager
def serving(cli: Cli, *options: str, **settings: str) -> Iterator[Running]:
    """Run the server until it answers; its socket listens before it does, so nothing is polled."""
    port = free_port()
    path = cli.folder / f"log-{port}"
    environ = {**cli.environ, "TWINLOCK_PORT": str(port), **settings}
    with (
        path.open("w") as log,
        started("serve", *options, environ=environ, folder=cli.folder, log=log) as process,
    ):
        running = Running(process, port, path)
        assert process.stdout is not None
        assert process.stdout.readline(), path.read_text()
        assert running.get("/readyz")[0] == 200
        yield running


def test_it_makes_what_is_missing_and_serves(sqlite_cli: Cli) -> None:
    with serving(sqlite_cli, "--init") as server:
        status, _ = server.get("/healthz")
        shown, log = server.stop(signal.SIGINT)

    found = re.search(r"^ +password +(\S+)$", shown, re.MULTILINE)
    assert status == 200
    assert found
    assert "What to try next:" in shown
    assert server.process.returncode == 0
    assert "Traceback" not in log
    assert found[1] not in log


def test_the_first_password_signs_in_at_the_served_token_endpoint(sqlite_cli: Cli) -> None:
    password = sqlite_cli.json("init")["admin"]["password"]

    with serving(sqlite_cli) as server:
        form = f"grant_type=password&username=admin&password={password}"
        status, tokens = server.post("/token", form)
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        me = server.get("/users/me", **bearer)
        _, log = server.stop()

    assert status == 200
    assert json.loads(me[1])["username"] == "admin"
    assert password not in log
    assert tokens["access_token"] not in log
    assert tokens["refresh_token"] not in log


@pytest.mark.skipif(shutil.which("curl") is None, reason="the command that is shown needs curl")
def test_the_command_that_it_shows_asks_for_a_token(sqlite_cli: Cli) -> None:
    """A person ends the password with Enter, which is no part of it."""
    with serving(sqlite_cli, "--init") as server:
        assert server.process.stdout is not None
        shown = list(takewhile(lambda line: "Ctrl-C" not in line, server.process.stdout))
        password = next(line.split()[1] for line in shown if line.split()[:1] == ["password"])
        command = next(line.partition(":")[2] for line in shown if "Ask for a token" in line)
        answered = subprocess.run(
            ["/bin/sh", "-c", command],
            input=f"{password}\n",
            capture_output=True,
            text=True,
            check=True,
        )

    assert json.loads(answered.stdout)["token_type"] == "bearer"


def test_it_ends_what_it_began_before_it_stops(sqlite_cli: Cli) -> None:
    sqlite_cli.done("init")
    body = b"grant_type=password&username=nobody&password=wrong"
    head = (
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
        b"application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body)
    )

    with serving(sqlite_cli) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as begun:
            begun.sendall(head + body[:10])
            server.get("/healthz")  # a later request was answered: the first has arrived
            server.process.send_signal(signal.SIGTERM)
            until_refused(server.port)
            begun.sendall(body[10:])
            answer = begun.makefile("rb").read()
        server.process.wait(END_SECONDS)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"invalid_grant" in answer


def until_refused(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return


def test_two_workers_serve_one_installation(sqlite_cli: Cli) -> None:
    """A token that one of them revoked is dead at the next request, whoever answers it."""
    password = sqlite_cli.json("init")["admin"]["password"]

    with serving(sqlite_cli, TWINLOCK_WORKERS="2") as server:
        form = f"grant_type=password&username=admin&password={password}"
        _, tokens = server.post("/token", form)
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        before = {server.get("/users/me", **bearer)[0] for _ in range(20)}
        with closing(server.connect()) as connection:
            connection.request("POST", "/api/logout", headers={"Host": "localhost", **bearer})
            assert connection.getresponse().status == 204
        after = {server.get("/users/me", **bearer)[0] for _ in range(20)}
        _, log = server.stop()

    assert before == {200}
    assert after == {401}
    assert server.process.returncode == 0, log


def test_a_port_in_use_is_told_and_nothing_is_made(sqlite_cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        told = sqlite_cli.refused("serve", "--init", "--port", str(port))

    assert f"port {port} is in use" in told
    assert not (sqlite_cli.folder / "data").exists()


def test_development_listens_on_this_machine_only(sqlite_cli: Cli) -> None:
    told = sqlite_cli.refused("serve", "--init", "--host", "0.0.0.0")

    assert "TWINLOCK_HOST" in told
    assert not (sqlite_cli.folder / "data").exists()


def test_without_an_installation_it_says_what_makes_one(sqlite_cli: Cli) -> None:
    assert "twinlock init" in sqlite_cli.refused("serve", "--port", str(free_port()))


def test_production_without_an_administrator_serves_and_says_who_makes_one(
    sqlite_cli: Cli,
) -> None:
    settings = {"TWINLOCK_ENVIRONMENT": "production", **STRONG}

    with serving(sqlite_cli, "--init", **settings) as server:
        shown, log = server.stop()

    assert "twinlock user create" in shown
    assert "password" not in shown
    assert all(isinstance(json.loads(line), dict) for line in log.splitlines())
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "server_starting"
    assert events[-1] == "server_stopped"
    assert server.process.returncode == 0


def test_the_log_holds_routes_and_no_paths(sqlite_cli: Cli) -> None:
    sqlite_cli.done("init")
    settings = {"TWINLOCK_ENVIRONMENT": "production", **STRONG}

    with serving(sqlite_cli, **settings) as server:
        server.get("/api/sessions/secret-in-the-path?code=123456")
        _, log = server.stop()

    assert "secret-in-the-path" not in log
    assert "123456" not in log
    answered = [json.loads(line) for line in log.splitlines() if "request_answered" in line]
    assert answered


def test_it_does_not_say_which_software_it_is_nor_believe_whom_it_does_not_know(
    sqlite_cli: Cli,
) -> None:
    sqlite_cli.done("init")

    with serving(sqlite_cli) as server, closing(server.connect()) as connection:
        headers = {"Host": "localhost", "X-Forwarded-For": "203.0.113.9"}
        connection.request("GET", "/healthz", headers=headers)
        answer = connection.getresponse()

        assert answer.getheader("Server") is None
        assert answer.getheader("Date")


def test_headers_without_end_are_cut_off(sqlite_cli: Cli) -> None:
    sqlite_cli.done("init")

    with serving(sqlite_cli) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as endless:
            endless.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
            answer = until_answered(endless)
        assert server.get("/healthz", **{"X-Long": "x" * 4096})[0] == 200

    assert answer.startswith(b"HTTP/1.1 400 ")


def until_answered(endless: socket.socket) -> bytes:
    sent = 0
    while not select.select([endless], [], [], 0)[0]:
        assert sent < 1000 * MAX_HEADER_BYTES
        try:
            sent += endless.send(b"x" * 8192)
        except (BrokenPipeError, ConnectionResetError):
            break
    return endless.recv(4096)


def test_a_terminal_shows_what_to_try_next_and_a_second_run_that_the_data_is_there(
    sqlite_cli: Cli,
) -> None:
    first = terminal(sqlite_cli)
    second = terminal(sqlite_cli)

    for shown in (first, second):
        assert "/docs" in shown
        assert "factor enroll admin totp" in shown
        assert "curl" in shown
    assert "password   " in first
    assert "password   " not in second
    assert "The data of the last time is there" in second
    assert "Traceback" not in first + second


def terminal(cli: Cli) -> str:
    """What a person sees who starts the server and presses Ctrl-C once it serves."""
    ours, theirs = pty.openpty()
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "twinlock", "serve", "--init", "--port", str(port)],
        cwd=cli.folder,
        env=environment(cli.environ),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    with process:
        try:
            while b"server_starting" not in shown:
                shown += os.read(ours, 4096)
            assert Running(process, port, Path()).get("/healthz")[0] == 200
            process.send_signal(signal.SIGINT)
            shown += rest(ours)
            assert process.wait(END_SECONDS) == 0, shown
        finally:
            if process.poll() is None:
                process.kill()
            os.close(ours)
    return shown.decode()


def rest(terminal: int) -> bytes:
    shown = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # the other end is closed: EIO on Linux
            return shown
        if not chunk:
            return shown
        shown += chunk


def test_settings_of_the_folder_are_honoured(sqlite_cli: Cli) -> None:
    port = free_port()
    Path(sqlite_cli.folder, ".env").write_text(f"TWINLOCK_PORT={port}\n")
    sqlite_cli.done("init")

    with started("serve", environ=sqlite_cli.environ, folder=sqlite_cli.folder) as process:
        assert process.stdout is not None
        assert f"localhost:{port}" in process.stdout.readline()
        assert Running(process, port, Path()).get("/healthz")[0] == 200
