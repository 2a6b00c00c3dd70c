"""A browser at the pages of an installation."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.pages.administered import enroll, signed_in
from tests.pages.browser import Browser
from tests.support.house import Enrolled, House
from twinlock.testing.authenticator import FakeAuthenticator


@pytest.fixture
def client(sqlite_house: House) -> Iterator[TestClient]:
    """A client of the API of the same server."""
    with sqlite_house.open() as client:
        yield client


@pytest.fixture
def browser(sqlite_house: House, client: TestClient) -> Browser:
    """A browser at the login server, where johndoe has an account."""
    sqlite_house.create()
    return Browser(sqlite_house.client())


@pytest.fixture
def enrolled(sqlite_house: House, browser: Browser, client: TestClient) -> Enrolled:
    """Johndoe has an authenticator app."""
    return sqlite_house.enroll(client)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine, for a server that a browser can reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def local(tmp_path: Path, migrated_sqlite: Path, listener: socket.socket) -> House:
    """A house at an address that a browser can open."""
    database = tmp_path / "twinlock.sqlite3"
    database.write_bytes(migrated_sqlite.read_bytes())
    port = listener.getsockname()[1]
    return House(
        tmp_path,
        f"sqlite:///{database}",
        base_url=f"http://localhost:{port}",
        service_name="Harbour Records",
        invitations_enabled=True,
    )


@pytest.fixture
def root(sqlite_house: House, client: TestClient) -> FakeAuthenticator:
    """The authenticator app of an admin named root."""
    sqlite_house.create("root", roles=("admin",), full_name="Ana Ruiz")
    return enroll(sqlite_house, "root")


@pytest.fixture
def console(sqlite_house: House, root: FakeAuthenticator) -> Browser:
    """The browser of an admin who has just shown both factors."""
    return signed_in(sqlite_house, "root", root)
