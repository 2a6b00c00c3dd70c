"""What a login costs in messages to PostgreSQL, each of which is a wait: counts, no times."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.flows.test_costs import sign_in_at_token
from tests.support.house import Enrolled, House, bearer, begin_login
from twinlock.db.wire import Wire

pytestmark = pytest.mark.postgres


@pytest.fixture
def client(postgres_house: House) -> Iterator[TestClient]:
    with postgres_house.open() as opened:
        yield opened


@pytest.fixture
def enrolled(postgres_house: House, client: TestClient) -> Enrolled:
    """Somebody with TOTP who has signed in from here before, as most do."""
    postgres_house.create()
    enrolled = postgres_house.enroll(client)
    sign_in_at_token(postgres_house, client, enrolled)
    return enrolled


@pytest.fixture
def messages(
    postgres_house: House, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """How many statements each message held that a flow sent."""
    postgres_house.runtime.sight.close()  # the poll's are nobody's request
    sent: list[int] = []
    talk = Wire._talk

    def noted(self: Wire, letters: list[Any], ending: bytes | None) -> Any:
        if threading.current_thread().name.startswith("twinlock-db"):
            sent.append(len(letters))
        return talk(self, letters, ending)

    monkeypatch.setattr(Wire, "_talk", noted)
    return sent


def test_a_login_at_the_token_endpoint(
    postgres_house: House, client: TestClient, enrolled: Enrolled, messages: list[int]
) -> None:
    sign_in_at_token(postgres_house, client, enrolled)

    assert len(messages) <= 17, messages


def test_the_first_sight_of_a_session(
    postgres_house: House, client: TestClient, enrolled: Enrolled, messages: list[int]
) -> None:
    """One wait: session, account and policies travel with the transaction's begin and end."""
    postgres_house.clock.advance(seconds=30)
    tokens = sign_in_at_token(postgres_house, client, enrolled)
    messages.clear()

    assert client.get("/users/me", headers=bearer(tokens)).status_code == 200

    assert messages == [3]


def test_a_login_in_two_steps(
    postgres_house: House, client: TestClient, enrolled: Enrolled, messages: list[int]
) -> None:
    postgres_house.clock.advance(seconds=30)

    login = begin_login(client)["login"]

    assert len(messages) <= 10, messages
    messages.clear()
    answer = {"login": login, "answer": enrolled.phone.code(postgres_house.now)}
    assert client.post("/api/login/totp", json=answer).status_code == 200

    assert len(messages) <= 15, messages
