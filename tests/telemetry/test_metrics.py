"""What Prometheus reads: enough to see an attack, and nothing of anybody."""

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.cli.conftest import Cli, make_cli
from tests.cli.processes import END_SECONDS
from tests.cli.test_serve import Running, free_port, serving
from tests.support.house import PASSWORD, House
from twinlock.telemetry.metrics import Metrics

WRONG = "grant_type=password&username=johndoe&password=wrong-wrong"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    made = make_cli(tmp_path, monkeypatch)
    made.done("init")
    return made


def scrape(port: int) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=END_SECONDS)) as connection:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def value(text: str, name: str, **labels: str) -> float:
    """The value of one sample; 0 where there is none yet."""
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")) == labels:
            return float(found[2])
    return 0.0


class Broken:
    """An observer whose disk is full."""

    def committed(self, events: Sequence[object]) -> None:
        raise OSError("No space left on device")

    def looked_around(self, *, hashes: int, places: int) -> None:
        """Look away."""


def test_an_observer_that_raises_keeps_no_session_alive(
    sqlite_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house = sqlite_house
    house.auth.observe(Broken())
    with house.open() as client:
        house.create("johndoe")
        form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
        signed_in = client.post("/token", data=form)
        assert signed_in.status_code == 200
        bearer = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        assert client.get("/users/me", headers=bearer).status_code == 200

        assert client.post("/api/logout", headers=bearer).status_code < 300
        assert client.get("/users/me", headers=bearer).status_code == 401

    assert "observer_failed" in {one.getMessage() for one in caplog.records}


def test_an_observer_counts_every_event(sqlite_house: House) -> None:
    house = sqlite_house
    registry = CollectorRegistry()
    house.auth.observe(Metrics(registry))
    with house.open() as client:
        house.create("johndoe")
        for password in ("wrong", "wrong", PASSWORD):
            form = {"grant_type": "password", "username": "johndoe", "password": password}
            client.post("/token", data=form)

    def count(type_: str, **labels: str) -> float | None:
        given = {"type": type_, "method": "", "reason": "", **labels}
        return registry.get_sample_value("twinlock_events_total", given)

    assert count("login.denied", reason="wrong_password", method="password") == 2
    assert count("login.succeeded") == 1
    text = repr(list(registry.collect()))
    assert "johndoe" not in text
    assert "testclient" not in text


def test_all_workers_are_counted_on_a_port_of_its_own(cli: Cli) -> None:
    port = free_port()
    settings = {"TWINLOCK_METRICS_PORT": str(port), "TWINLOCK_WORKERS": "2"}
    with serving(cli, **settings) as server:
        for _ in range(6):  # connections of their own: both workers get some
            server.post("/token", WRONG)
        assert server.get("/metrics")[0] == 404
        assert server.get("/recovery/password/s3cret-token?code=123456")[0] in {200, 404}
        text = _eventually(lambda: scrape(port), lambda text: sum_of(text, "login.denied") == 6)
        server.stop()

    assert value(text, "twinlock_database_up") == 1
    assert value(text, "twinlock_admins") == 1
    assert value(text, "twinlock_http_requests_total", method="POST", route="/token", status="400")
    assert "johndoe" not in text
    assert "s3cret-token" not in text
    assert "123456" not in text


def test_what_a_client_makes_up_is_one_series(cli: Cli) -> None:
    port = free_port()
    with serving(cli, TWINLOCK_METRICS_PORT=str(port)) as server:
        for n in range(5):
            with closing(server.connect()) as connection:
                host = {"Host": f"localhost:{server.port}"}
                connection.request("PROPFIND", f"/made/up/{n}", headers=host)
                connection.getresponse().read()
        text = _eventually(lambda: scrape(port), lambda text: _made_up(text) >= 5)
        server.stop()

    assert "made" not in text.lower().replace("made up", "")
    assert _made_up(text) == 5


def test_of_a_killed_worker_the_counts_stay_and_the_gauges_go(cli: Cli) -> None:
    port = free_port()
    settings = {
        "TWINLOCK_METRICS_PORT": str(port),
        "TWINLOCK_WORKERS": "2",
        "TWINLOCK_HASH_THREADS": "1",
        "TWINLOCK_HASH_WAITING_PER_THREAD": "2",
    }
    both = 2 * (1 + 2)
    with serving(cli, **settings) as server:
        server.post("/token", WRONG)
        before = _eventually(
            lambda: scrape(port),
            lambda text: _places(text) == both and sum_of(text, "login.denied") == 1,
        )
        for pid in _children(server):
            os.kill(pid, signal.SIGKILL)
        killed = time.time()
        after = _eventually(
            lambda: scrape(port), lambda text: _looked_at(text) > killed and _places(text) == both
        )
        server.stop()

    assert sum_of(after, "login.denied") == sum_of(before, "login.denied") == 1


def test_a_port_in_use_is_said_and_nothing_is_served(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        os.environ["TWINLOCK_METRICS_PORT"] = str(port)
        try:
            said = cli.refused("serve", "--port", str(free_port()))
        finally:
            del os.environ["TWINLOCK_METRICS_PORT"]

    assert "TWINLOCK_METRICS_PORT" in said
    assert str(port) in said


def test_it_is_off_by_default(cli: Cli) -> None:
    assert cli.settings.metrics_port is None


def sum_of(text: str, type_: str) -> float:
    lines = [line for line in text.splitlines() if f'type="{type_}"' in line]
    return sum(float(line.split()[-1]) for line in lines)


def _places(text: str) -> float:
    return value(text, "twinlock_password_hash_places")


def _looked_at(text: str) -> float:
    """When the living worker that is furthest behind last looked at the database."""
    return value(text, "twinlock_database_look_timestamp_seconds")


def _made_up(text: str) -> float:
    found = {"method": "other", "route": "other", "status": "404"}
    return value(text, "twinlock_http_requests_total", **found)


def _children(server: Running) -> list[int]:
    path = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(word) for word in path.read_text().split()]


def _eventually(ask: Callable[[], str], holds: Callable[[str], bool]) -> str:
    """Ask until it holds: each answer takes a turn of the server, so nothing sleeps."""
    for _ in range(10_000):
        text = ask()
        if holds(text):
            return text
    raise AssertionError("it never held")
