"""A network that floods the password doors is turned away from memory, and only that network.

What is asked here holds whether memory answers or the database; that memory does is shown by the
event, whose count lags behind until the database is asked again.
"""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.support.home import WRONG_PASSWORD, Home, told
from tests.support.house import PASSWORD, bearer, sign_in, token
from twinlock.audit.events import Caller, EventType
from twinlock.flows.counting import Counting
from twinlock.throttle.policy import Throttled
from twinlock.throttle.store import Try

FLOODER = Caller(ip="192.0.2.66")
ELSEWHERE = "198.51.100.7"
ORIGIN = {"Origin": "http://localhost:8000"}
ENOUGH = 2_000


@pytest.fixture
def home(home: Home) -> Home:
    """With a second account, which has no second factor."""
    home.house.create("alice")
    return home


def try_at(client: TestClient, name: str = "alice", password: str = PASSWORD) -> Response:
    body = {"username": name, "password": password}
    response: Response = client.post("/api/login", json=body)
    return response


def fill_network(home: Home, counting: Counting) -> None:
    assert not any(isinstance(take(home, counting, number), Throttled) for number in range(100))


def refusals_told(home: Home) -> int:
    return sum(event._mapping["count"] for event in home.events(EventType.LOGIN_THROTTLED))


def full(home: Home) -> TestClient:
    """Return a client of a network whose count is full."""
    fill_network(home, Counting(home.house.runtime.parts))
    return home.from_address("192.0.2.66")


def flood(home: Home) -> TestClient:
    """Send refused tries until memory refuses them; return a client of that network."""
    client = full(home)
    keep_on(home, client)
    return client


def keep_on(home: Home, client: TestClient) -> None:
    for _ in range(ENOUGH):
        before = refusals_told(home)
        assert try_at(client, password=WRONG_PASSWORD).status_code == 429
        if refusals_told(home) == before:
            return
    raise AssertionError("every single refusal asked the database")


def test_a_flood_is_refused_in_the_words_of_the_database(home: Home) -> None:
    client = full(home)
    json, form = told(try_at(client)), told(token(client, "alice", PASSWORD))

    keep_on(home, client)

    for name in ("alice", "johndoe", "nobody", "alice@example.com"):
        assert told(try_at(client, name)) == json
        assert told(token(client, name, PASSWORD)) == form
    assert try_at(client).headers["retry-after"] == "3600"


def test_the_wait_grows_shorter_meanwhile(home: Home) -> None:
    client = flood(home)
    home.house.clock.now += timedelta(minutes=10)

    response = try_at(client)

    assert (response.status_code, response.headers["retry-after"]) == (429, "3000")


def test_a_flood_is_let_in_again_when_the_wait_is_over(home: Home) -> None:
    client = flood(home)
    home.house.clock.now += timedelta(hours=1)

    assert try_at(client).status_code == 200


def test_a_flood_is_refused_unread(home: Home) -> None:
    client = full(home)

    for body in (b"", b"{", b'{"username": 1}'):
        assert is_refused_unread(home, client, body)


def is_refused_unread(home: Home, client: TestClient, body: bytes) -> bool:
    """Tell whether what is no try at all is refused like one, right after memory refused."""
    for _ in range(100):  # on a busy machine the second may be over before the next request
        keep_on(home, client)
        if client.post("/api/login", content=body).status_code == 429:
            return True
    return False


def test_a_known_browser_in_the_flooding_network_signs_in(home: Home) -> None:
    signed_in = home.from_address("192.0.2.66").post(
        "/api/login", json={"username": "alice", "password": PASSWORD}, headers=ORIGIN
    )
    (cookie,) = [
        one.partition(";")[0]
        for one in signed_in.headers.get_list("set-cookie")
        if one.startswith("__Host-twinlock-known=")
    ]
    stranger = flood(home)
    owner = home.from_address("192.0.2.66")
    owner.headers.update({**ORIGIN, "Cookie": cookie})

    assert try_at(owner).status_code == 200
    assert try_at(stranger).status_code == 429


def test_sessions_of_the_flooding_network_go_on(home: Home) -> None:
    client = home.from_address("192.0.2.66")
    tokens = sign_in(client, "alice")
    flood(home)

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refreshed = client.post("/token", data=form)

    assert refreshed.status_code == 200
    assert client.get("/users/me", headers=bearer(refreshed.json())).status_code == 200


def test_the_second_step_in_the_flooding_network_goes_on(home: Home) -> None:
    login = home.begin()
    client = flood(home)

    answer = client.post("/api/login/totp", json={"login": login, "answer": home.code()})

    assert answer.status_code == 200


def test_another_network_is_not_refused(home: Home) -> None:
    flood(home)

    assert try_at(home.from_address(ELSEWHERE)).status_code == 200


def test_a_flood_that_goes_on_is_looked_at_again(home: Home) -> None:
    """Whatever door it takes: each second one of its tries asks the database."""
    client = flood(home)
    told_before = refusals_told(home)

    for _ in range(ENOUGH):
        try_at(client)
        if refusals_told(home) > told_before:
            return
    raise AssertionError("the database is never asked again")


def test_every_refusal_is_told_in_the_end(home: Home) -> None:
    counting = Counting(home.house.runtime.parts)
    fill_network(home, counting)
    asked = turned_away = 0
    while turned_away < 5:
        if counting.turn_away(FLOODER, asks_next=True, now=home.house.now) is not None:
            turned_away += 1
            continue
        asked += 1
        assert asked < ENOUGH
        refuse(home, counting)

    refuse(home, counting)

    assert refusals_told(home) == asked + turned_away + 1


def test_a_try_given_back_is_free_at_once(home: Home) -> None:
    counting, now = Counting(home.house.runtime.parts), home.house.now
    tries = [take(home, counting, number) for number in range(100)]
    while counting.turn_away(FLOODER, asks_next=True, now=now) is None:
        refuse(home, counting)
    right = tries[50]
    assert not isinstance(right, Throttled)

    home.house.database.transaction(counting.give_back, right)

    assert counting.turn_away(FLOODER, asks_next=True, now=now) is None


def take(home: Home, counting: Counting, number: int = 0) -> tuple[Try, ...] | Throttled:
    return home.house.database.transaction_once(
        counting.take_password_tries, None, f"nobody-{number}", FLOODER, now=home.house.now
    )


def refuse(home: Home, counting: Counting) -> None:
    assert isinstance(take(home, counting), Throttled)


def test_the_last_second_of_a_flood_is_told_when_the_server_stops(home: Home) -> None:
    client = full(home)
    before, told_of, tries = refusals_told(home), 0, 0
    while told_of == tries:  # until memory refused one that no event tells
        assert try_at(client, password=WRONG_PASSWORD).status_code == 429
        tries += 1
        told_of = refusals_told(home) - before

    home.house.auth.close()

    with home.house.open():
        assert refusals_told(home) - before == tries


def test_the_upkeep_tells_of_a_flood_that_has_ended(home: Home) -> None:
    client = flood(home)
    told_of = refusals_told(home)

    home.house.runtime.upkeep.work()

    assert refusals_told(home) > told_of
    assert try_at(client).status_code == 429
