"""A service of breached passwords is asked by k-anonymity, and missed by nobody."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.house import PASSWORD, House, bearer, sign_in
from twinlock.accounts import breached_passwords
from twinlock.accounts.breached_passwords import BreachService, BreachServiceError
from twinlock.testing.mail import MailTrap

BREACHED = "sunlit kettle orbit ladder"
FRESH = "a purple bicycle under water"


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


@dataclass
class Range:
    """A server that answers as Pwned Passwords does, and keeps what it was asked."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drips: bool = False


@pytest.fixture
def service() -> Iterator[Range]:
    state = Range(body=f"{'0' * 35}:0\r\n{sha1(BREACHED)[5:]}:7\r\n{sha1(FRESH)[5:]}:0".encode())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, dict(self.headers)))
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            if state.drips:
                stopped.wait(20)
            self.wfile.write(state.body)

        def log_message(self, *arguments: Any) -> None:
            pass

    stopped = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/range"
    yield state
    stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_five_characters_of_a_digest_are_all_that_is_told(service: Range) -> None:
    assert BreachService(service.url).knows(BREACHED)

    [(path, headers)] = service.asked
    assert path == f"/range/{sha1(BREACHED)[:5]}"
    assert headers["Add-Padding"] == "true"
    told = f"{path} {headers}".upper()
    assert sha1(BREACHED)[5:] not in told
    assert BREACHED.upper() not in told


def test_padding_is_no_breach(service: Range) -> None:
    assert not BreachService(service.url).knows(FRESH)
    assert not BreachService(service.url).knows("\udc80 is no text")


@pytest.mark.parametrize(
    "status, headers, body",
    [
        (500, {}, b""),
        (404, {}, b""),
        (204, {}, b""),
        (302, {"Location": "http://127.0.0.1:9/elsewhere"}, b""),
        (200, {}, b"x" * (1024 * 1024 + 1)),
    ],
)
def test_what_is_no_answer_is_told_apart(
    service: Range, status: int, headers: dict[str, str], body: bytes
) -> None:
    service.status, service.headers, service.body = status, headers, body

    with pytest.raises(BreachServiceError):
        BreachService(service.url).knows(BREACHED)
    assert len(service.asked) == 1


@pytest.fixture
def asking(sqlite_house: House, service: Range) -> Iterator[tuple[House, TestClient]]:
    house = sqlite_house.again(breached_passwords_url=service.url)
    with house.open() as client:
        house.create()
        yield house, client


def change(client: TestClient, headers: dict[str, str], new: str, now: str = PASSWORD) -> Any:
    body = {"current_password": now, "new_password": new}
    return client.post("/api/account/password", json=body, headers=headers)


def test_a_new_password_that_was_seen_in_a_breach_is_refused(
    asking: tuple[House, TestClient], service: Range
) -> None:
    """ASVS 5.0 6.2.12."""
    _, client = asking
    headers = bearer(sign_in(client))

    for _ in range(12):  # and costs no try of the current one
        refused = change(client, headers, BREACHED)
        assert (refused.status_code, refused.json()["type"]) == (400, "password_breached")
    assert change(client, headers, FRESH).status_code == 200
    assert sign_in(client, password=FRESH)["token_type"] == "bearer"


def test_a_mailed_link_sets_no_breached_password_and_stays(
    asking: tuple[House, TestClient],
) -> None:
    house, client = asking
    trap = MailTrap(lambda: house.auth)
    client.post("/api/recovery/password", json={"username": "johndoe"})
    body = {"token": trap.token("johndoe@example.com"), "password": BREACHED}

    refused = client.post("/api/recovery/password/confirm", json=body)
    done = client.post("/api/recovery/password/confirm", json=body | {"password": FRESH})

    assert (refused.status_code, refused.json()["type"]) == (400, "password_breached")
    assert done.status_code in {200, 204}


def test_without_an_answer_the_list_in_the_package_decides(
    asking: tuple[House, TestClient], service: Range, caplog: pytest.LogCaptureFixture
) -> None:
    _, client = asking
    headers = bearer(sign_in(client))
    service.status = 503

    common = change(client, headers, "1234567890123456")
    done = change(client, headers, BREACHED)

    assert common.json()["type"] in {"password_common", "password_pattern"}
    assert done.status_code == 200
    assert "breached_passwords_unanswered" in caplog.text


def test_a_service_that_drips_keeps_nobody_waiting(
    asking: tuple[House, TestClient], service: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breached_passwords, "SECONDS", 0.2)
    _, client = asking
    headers = bearer(sign_in(client))
    service.drips = True
    begun = time.monotonic()

    assert change(client, headers, BREACHED).status_code == 200

    assert time.monotonic() - begun < 10


def test_nobody_is_asked_where_no_service_is_set(sqlite_house: House, service: Range) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        assert change(client, bearer(sign_in(client)), BREACHED).status_code == 200
    assert service.asked == []
