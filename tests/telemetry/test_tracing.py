"""Traces say which route answered, and never what was asked."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import make_cli
from tests.cli.test_serve import serving
from twinlock.core.errors import ConfigurationError
from twinlock.telemetry.tracing import telemetry

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector:
    """Takes what an exporter sends."""

    def __init__(self) -> None:
        bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.bodies = bodies
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_spans_hold_the_route_and_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    cli = make_cli(tmp_path, monkeypatch)
    cli.done("init")
    environ = {ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    with serving(cli, **environ) as server:
        server.get("/recovery/password/s3cret-token?code=123456")
        server.get("/api/sessions?access_token=s3cret-token")
        server.post("/token", "grant_type=password&username=johndoe&password=s3cret-word")
        server.stop()

    sent = b"".join(collector.bodies)
    assert b"/token" in sent
    assert b"s3cret" not in sent
    assert b"123456" not in sent
    assert b"johndoe" not in sent


def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")

    made = telemetry()

    assert not made["tracing"]
    assert not made["logs"]
    assert not made["auto_configure"]


def test_an_endpoint_without_the_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setattr("twinlock.telemetry.tracing.find_spec", lambda name: None)

    with pytest.raises(ConfigurationError, match="otel"):
        telemetry()
