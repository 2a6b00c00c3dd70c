"""What is refused by a full count leaves one event for that count and hour, not one a request."""

from fastapi.testclient import TestClient

from tests.support.home import WRONG_PASSWORD, Home
from twinlock.audit.events import Caller, EventType
from twinlock.flows.counting import Counting

FLOODER = "192.0.2.66"


def fill_network(home: Home) -> TestClient:
    """Use up what one network may try in an hour, and return a client there."""
    counting = Counting(home.house.runtime.parts)
    for number in range(100):
        home.house.database.transaction_once(
            counting.take_password_tries,
            None,
            f"nobody-{number}",
            Caller(ip=FLOODER),
            now=home.house.now,
        )
    return home.from_address(FLOODER)


def test_a_full_network_writes_no_event_for_each_further_name(home: Home) -> None:
    client = fill_network(home)

    answers = [
        client.post("/api/login", json={"username": name, "password": WRONG_PASSWORD}).status_code
        for name in ("erin", "frank", "grace", "johndoe")
    ]

    assert answers == [429] * 4
    [event] = home.events(EventType.LOGIN_THROTTLED)
    assert (event._mapping["count"], event.ip) == (4, FLOODER)
    assert (event.subject_id, event.name_digest) == (None, None)


def test_an_account_learns_of_its_own_full_count(home: Home) -> None:
    client = home.from_address(FLOODER)
    body = {"username": "johndoe", "password": WRONG_PASSWORD}

    answers = [client.post("/api/login", json=body).status_code for _ in range(12)]

    assert answers == [401] * 10 + [429] * 2
    [event] = home.events(EventType.LOGIN_THROTTLED)
    assert (event.subject_id, event._mapping["count"]) == (home.john.account.subject, 2)
