"""A browser at the pages of an installation."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import Browser
from tests.support.house import Enrolled, House


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
