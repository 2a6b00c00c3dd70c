"""Tries of a password are counted per account and network, per network, and over all strangers.

10 in 10 minutes, 100 in an hour, 100 in 24 hours and then one a minute. A known browser has a
count of its own, and the network of a full sign-in is no stranger for 30 days.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Connection

from tests.support.home import WRONG_CODE, WRONG_PASSWORD, Home, told
from tests.support.house import OPERATOR, PASSWORD, bearer, sign_in, token
from twinlock.audit.events import Caller
from twinlock.flows.counting import Counting
from twinlock.throttle.policy import Throttled

STRANGER = "192.0.2.1"
OTHER_STRANGER = "198.51.100.7"
ORIGIN = {"Origin": "http://localhost:8000"}
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
MINUTES = timedelta(minutes=1)
HOURS = timedelta(hours=1)
DAYS = timedelta(days=1)


@dataclass(frozen=True)
class Tried:
    """One wrong password: where from, and whose."""

    ip: str
    username: str = "alice"
    browser: str | None = None


@pytest.fixture
def home(home: Home) -> Home:
    """With a second account, which has no second factor and has never signed in."""
    home.house.create("alice")
    return home


def try_at(
    client: TestClient,
    username: str = "alice",
    password: str = WRONG_PASSWORD,
    **headers: str,
) -> Response:
    """Try a password in the first of two steps."""
    body = {"username": username, "password": password}
    response: Response = client.post("/api/login", json=body, headers=headers)
    return response


def try_from(
    ip: str, home: Home, username: str = "alice", password: str = WRONG_PASSWORD
) -> Response:
    return try_at(home.from_address(ip), username, password)


def count(home: Home, *tries: Tried) -> list[bool]:
    """Count tries as a flow does, all at once; tell for each whether it was let through."""
    counting, find = Counting(home.house.runtime.parts), home.house.runtime.parts.accounts.find

    def take(tx: Connection) -> list[bool]:
        taken = [
            counting.take_password_tries(
                tx,
                find(tx, one.username),
                one.username,
                Caller(ip=one.ip, known_browser=one.browser),
                now=home.house.now,
            )
            for one in tries
        ]
        return [not isinstance(one, Throttled) for one in taken]

    return home.house.database.transaction_once(take)


def count_ten(home: Home, ip: str = STRANGER, username: str = "alice") -> None:
    assert all(count(home, *[Tried(ip, username)] * 10))


def wait_of(response: Response) -> tuple[int, str | None]:
    return response.status_code, response.headers.get("retry-after")


# --- Ten in ten minutes per account and network ---------------------------------------------


def test_the_tenth_try_may_be_right(home: Home) -> None:
    for _ in range(9):
        try_from(STRANGER, home)

    assert try_from(STRANGER, home, password=PASSWORD).status_code == 200


def test_the_eleventh_try_waits(home: Home) -> None:
    for _ in range(10):
        assert try_from(STRANGER, home).status_code == 401

    response = try_from(STRANGER, home, password=PASSWORD)

    assert wait_of(response) == (429, "600")
    assert response.json()["type"] == "too_many_tries"


@pytest.mark.parametrize("wait, status", [(10 * MINUTES - MICROSECOND, 429), (10 * MINUTES, 200)])
def test_ten_minutes_later_it_goes_on(home: Home, wait: timedelta, status: int) -> None:
    count_ten(home)
    home.house.clock.now += wait

    assert try_from(STRANGER, home, password=PASSWORD).status_code == status


def test_waiting_is_not_made_longer_by_asking(home: Home) -> None:
    count_ten(home)
    for _ in range(9):
        home.house.clock.now += MINUTES
        try_from(STRANGER, home)
    home.house.clock.now += MINUTES

    assert try_from(STRANGER, home, password=PASSWORD).status_code == 200


def test_the_token_endpoint_waits_likewise(home: Home) -> None:
    count_ten(home)

    response = token(home.from_address(STRANGER), "alice", PASSWORD)

    assert wait_of(response) == (429, "600")
    assert response.json()["error"] == "too_many_tries"


def test_both_doors_share_the_count(home: Home) -> None:
    client = home.from_address(STRANGER)
    for _ in range(5):
        try_at(client)
        token(client, "alice", WRONG_PASSWORD)

    assert try_at(client).status_code == 429
    assert token(client, "alice", PASSWORD).status_code == 429


def test_all_names_of_an_account_share_the_count(home: Home) -> None:
    for name in ("alice", "ALICE", "ａｌｉｃｅ", "alice@example.com", "Alice@EXAMPLE.com"):
        try_from(STRANGER, home, name)
        try_from(STRANGER, home, name)

    assert try_from(STRANGER, home).status_code == 429


def test_all_spellings_of_a_name_that_nobody_has_share_the_count(home: Home) -> None:
    for name in ("nobody", "NOBODY", "ｎｏｂｏｄｙ", " nobody", "nobody."):
        try_from(STRANGER, home, name)
        try_from(STRANGER, home, name)

    assert try_from(STRANGER, home, "nobody").status_code == 429


def test_another_network_is_counted_apart(home: Home) -> None:
    count_ten(home)

    assert try_from(OTHER_STRANGER, home, password=PASSWORD).status_code == 200


def test_another_account_is_counted_apart(home: Home) -> None:
    home.house.create("bob")
    count_ten(home)

    assert try_from(STRANGER, home, "bob", PASSWORD).status_code == 200


def test_right_passwords_do_not_count(home: Home) -> None:
    answers = [try_from(STRANGER, home, password=PASSWORD).status_code for _ in range(12)]

    assert answers == [200] * 12


def test_a_right_password_gives_back_its_own_try_and_no_other(home: Home) -> None:
    count(home, *[Tried(STRANGER)] * 9)

    answers = [
        try_from(STRANGER, home, password=password).status_code
        for password in (PASSWORD, PASSWORD, WRONG_PASSWORD, PASSWORD)
    ]

    assert answers == [200, 200, 401, 429]


@pytest.mark.parametrize("door", ["two steps", "token"])
def test_a_right_password_that_waits_for_its_code_does_not_count(home: Home, door: str) -> None:
    client = home.from_address(STRANGER)
    ask = token if door == "token" else try_at

    answers = {ask(client, "johndoe", PASSWORD).status_code for _ in range(12)}

    assert answers == {403 if door == "token" else 200}


def test_who_guesses_codes_at_the_token_endpoint_meets_the_limits_of_passwords(home: Home) -> None:
    """Or the missing 429 would tell that the password is right."""
    right, wrong = home.from_address(STRANGER), home.from_address(OTHER_STRANGER)

    guesses = [told(token(right, "johndoe", PASSWORD + WRONG_CODE)) for _ in range(12)]

    assert guesses == [told(token(wrong, "johndoe", WRONG_PASSWORD)) for _ in range(12)]
    assert [status for status, *_ in guesses] == [400] * 10 + [429] * 2


def test_a_changed_password_is_counted_by_its_session(home: Home) -> None:
    """The door is as narrow as a login's, and a count of its own: sessions lock nobody out."""
    client = home.from_address(STRANGER)
    headers = bearer(sign_in(client, "alice"))
    body = {"current_password": WRONG_PASSWORD, "new_password": "another horse battery staple"}
    for _ in range(10):
        client.post("/api/account/password", json=body, headers=headers)

    assert client.post("/api/account/password", json=body, headers=headers).status_code == 429
    assert try_at(client, password=PASSWORD).status_code == 200


def test_strangers_keep_no_owner_from_changing_the_password(home: Home) -> None:
    """Sessions that exist are never touched by what strangers do."""
    owner = home.from_address(OTHER_STRANGER)
    headers = bearer(sign_in(owner, "alice"))
    fill_strangers(home, 100, "alice")
    body = {"current_password": PASSWORD, "new_password": "another horse battery staple"}

    assert owner.post("/api/account/password", json=body, headers=headers).status_code == 200


def test_a_reauthentication_by_password_is_counted_by_its_session(home: Home) -> None:
    client = home.from_address(STRANGER)
    headers = bearer(sign_in(client, "alice"))
    answers = []
    for _ in range(11):
        begun = client.post("/api/reauthenticate", json={}, headers=headers).json()
        body = {"reauthentication": begun["reauthentication"], "answer": WRONG_PASSWORD}
        answers.append(client.post("/api/reauthenticate/password", json=body, headers=headers))

    assert [answer.status_code for answer in answers] == [401] * 10 + [429]


# --- A hundred in an hour per network -------------------------------------------------------


def fill_network(home: Home, tries: int, *, ip: str = STRANGER) -> None:
    assert all(count(home, *[Tried(ip, f"nobody{number}") for number in range(tries)]))


@pytest.mark.parametrize("tries, status", [(99, 200), (100, 429)])
def test_a_network_has_a_hundred_tries_in_an_hour(home: Home, tries: int, status: int) -> None:
    fill_network(home, tries)

    response = try_from(STRANGER, home, password=PASSWORD)

    assert response.status_code == status
    assert status == 200 or response.headers["retry-after"] == "3600"


@pytest.mark.parametrize("wait, status", [(HOURS - MICROSECOND, 429), (HOURS, 200)])
def test_an_hour_later_the_network_goes_on(home: Home, wait: timedelta, status: int) -> None:
    fill_network(home, 100)
    home.house.clock.now += wait

    assert try_from(STRANGER, home, password=PASSWORD).status_code == status


def test_a_full_network_is_full_for_every_name(home: Home) -> None:
    fill_network(home, 100)

    first, *others = [
        told(try_from(STRANGER, home, name, PASSWORD))
        for name in ("alice", "johndoe", "nobody", "nobody1")
    ]

    assert others == [first] * 3


def test_a_full_network_leaves_others_alone(home: Home) -> None:
    fill_network(home, 100)

    assert try_from(OTHER_STRANGER, home, password=PASSWORD).status_code == 200


def test_a_full_network_makes_no_more_rows(home: Home) -> None:
    """One network makes a bounded number of rows, however many names it invents."""
    fill_network(home, 100)
    before = rows(home)
    for number in range(5):
        try_from(STRANGER, home, f"another{number}")

    assert rows(home) == before


def rows(home: Home) -> int:
    def read(db: Connection) -> int:
        number: int = db.exec_driver_sql("SELECT count(*) FROM throttle").scalar_one()
        return number

    return home.house.database.reading(read)


@pytest.mark.parametrize(
    "one, other, is_same",
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:DB8:0:0::2", True),
    ],
)
def test_a_network_is_one_ipv4_address_or_64_bits_of_ipv6(
    home: Home, one: str, other: str, is_same: bool
) -> None:
    count_by_http = [try_from(one, home).status_code for _ in range(10)]

    assert count_by_http == [401] * 10
    assert try_from(other, home).status_code == (429 if is_same else 401)


# --- A hundred in a day for all strangers ---------------------------------------------------


def fill_strangers(home: Home, tries: int, username: str = "alice") -> None:
    """Count tries from networks none of which has too many of its own."""
    assert all(count(home, *[Tried(f"203.0.113.{number}", username) for number in range(tries)]))


@pytest.mark.parametrize("tries, status", [(99, 200), (100, 429)])
def test_strangers_have_a_hundred_tries_in_a_day(home: Home, tries: int, status: int) -> None:
    fill_strangers(home, tries)

    response = try_from(STRANGER, home, password=PASSWORD)

    assert response.status_code == status
    assert status == 200 or response.headers["retry-after"] == "60"


@pytest.mark.parametrize("wait, status", [(MINUTES - MICROSECOND, 429), (MINUTES, 200)])
def test_then_strangers_share_one_try_a_minute(home: Home, wait: timedelta, status: int) -> None:
    fill_strangers(home, 100)
    home.house.clock.now += wait

    assert try_from(STRANGER, home, password=PASSWORD).status_code == status


def test_the_try_of_a_minute_is_one_for_all_strangers(home: Home) -> None:
    fill_strangers(home, 100)
    home.house.clock.now += MINUTES

    answers = [try_from(ip, home).status_code for ip in (STRANGER, OTHER_STRANGER)]
    home.house.clock.now += MINUTES

    assert answers == [401, 429]
    assert try_from(OTHER_STRANGER, home, password=PASSWORD).status_code == 200


@pytest.mark.parametrize("wait, status", [(DAYS - 2 * MICROSECOND, 429), (DAYS, 401)])
def test_a_day_later_strangers_are_free_again(home: Home, wait: timedelta, status: int) -> None:
    begun = home.house.now
    fill_strangers(home, 100)
    home.house.clock.now = begun + wait - MICROSECOND
    try_from("203.0.113.200", home)  # the trickle's own
    home.house.clock.now += MICROSECOND

    assert try_from(OTHER_STRANGER, home).status_code == status


def test_strangers_to_one_account_are_none_to_another(home: Home) -> None:
    home.house.create("bob")
    fill_strangers(home, 100)

    assert try_from(STRANGER, home, "bob", PASSWORD).status_code == 200


def test_the_network_of_a_full_sign_in_is_no_stranger(home: Home) -> None:
    sign_in(home.from_address(STRANGER), "alice")
    fill_strangers(home, 100)

    assert try_from(STRANGER, home, password=PASSWORD).status_code == 200
    assert try_from(OTHER_STRANGER, home, password=PASSWORD).status_code == 429


@pytest.mark.parametrize("wait, status", [(30 * DAYS - SECOND, 200), (30 * DAYS, 429)])
def test_a_network_is_remembered_for_thirty_days(home: Home, wait: timedelta, status: int) -> None:
    sign_in(home.from_address(STRANGER), "alice")
    home.house.clock.now += wait
    fill_strangers(home, 100)

    assert try_from(STRANGER, home, password=PASSWORD).status_code == status


def test_a_password_alone_makes_no_network_familiar(home: Home) -> None:
    """A full sign-in is one with the second factor."""
    for _ in range(2):
        try_from(STRANGER, home, "johndoe", PASSWORD)
    fill_strangers(home, 100, "johndoe")

    assert try_from(STRANGER, home, "johndoe", PASSWORD).status_code == 429


def test_a_familiar_network_keeps_its_other_limits(home: Home) -> None:
    sign_in(home.from_address(STRANGER), "alice")
    count_ten(home)

    assert try_from(STRANGER, home, password=PASSWORD).status_code == 429


def test_who_comes_from_a_familiar_network_takes_no_strangers_try(home: Home) -> None:
    sign_in(home.from_address(STRANGER), "alice")
    fill_strangers(home, 99)
    for _ in range(5):
        try_from(STRANGER, home)

    assert try_from(OTHER_STRANGER, home, password=PASSWORD).status_code == 200


# --- Known browsers -------------------------------------------------------------------------


def known_cookie(response: Response) -> str:
    """Return the ``known`` cookie that a response sets, as a browser sends it."""
    (cookie,) = [
        cookie.split(";")[0]
        for cookie in response.headers.get_list("set-cookie")
        if cookie.startswith("__Host-twinlock-known=")
    ]
    return cookie


def browser_of(home: Home, username: str = "alice", ip: str = STRANGER) -> dict[str, str]:
    """Sign in fully with a browser and return the headers that it sends from now on."""
    signed_in = try_at(home.from_address(ip), username, PASSWORD, **ORIGIN)
    return {**ORIGIN, "Cookie": known_cookie(signed_in)}


def test_a_known_browser_does_not_stand_in_the_strangers_queue(home: Home) -> None:
    browser = browser_of(home)
    fill_strangers(home, 100)
    elsewhere = home.from_address(OTHER_STRANGER)

    assert try_at(elsewhere, password=PASSWORD).status_code == 429
    assert try_at(elsewhere, password=PASSWORD, **browser).status_code == 200


def test_a_known_browser_is_not_held_by_a_full_network(home: Home) -> None:
    browser = browser_of(home)
    fill_network(home, 99)
    client = home.from_address(STRANGER)

    for _ in range(3):
        try_at(client, "nobody")

    assert try_at(client, password=PASSWORD).status_code == 429
    assert try_at(client, password=PASSWORD, **browser).status_code == 200


def test_a_known_browser_is_not_held_by_its_network_and_account(home: Home) -> None:
    browser = browser_of(home)
    count_ten(home)

    assert try_at(home.from_address(STRANGER), password=PASSWORD, **browser).status_code == 200


def test_a_known_browser_has_ten_tries_of_its_own(home: Home) -> None:
    browser = browser_of(home)
    client = home.from_address(STRANGER)

    answers = [try_at(client, **browser).status_code for _ in range(11)]

    assert answers == [401] * 10 + [429]
    assert try_at(client, password=PASSWORD).status_code == 200, "others are left alone"


@pytest.mark.parametrize("wait, status", [(10 * MINUTES - MICROSECOND, 429), (10 * MINUTES, 200)])
def test_a_known_browser_waits_ten_minutes(home: Home, wait: timedelta, status: int) -> None:
    browser = browser_of(home)
    secret = browser["Cookie"].partition("=")[2]
    assert all(count(home, *[Tried(STRANGER, browser=secret)] * 10))
    home.house.clock.now += wait

    answer = try_at(home.from_address(STRANGER), password=PASSWORD, **browser)

    assert answer.status_code == status


def test_a_browser_known_to_another_account_is_unknown(home: Home) -> None:
    home.house.create("mallory")
    browser = browser_of(home, "mallory")
    fill_strangers(home, 100)

    assert try_at(home.from_address(OTHER_STRANGER), **browser).status_code == 429


def test_a_browser_of_several_accounts_is_known_to_each(home: Home) -> None:
    home.house.create("bob")
    browser = browser_of(home)
    second = try_at(home.from_address(STRANGER), "bob", PASSWORD, **browser)
    browser["Cookie"] = known_cookie(second)
    for name in ("alice", "bob"):
        fill_strangers(home, 100, name)

    answers = [
        try_at(home.from_address(OTHER_STRANGER), name, PASSWORD, **browser).status_code
        for name in ("alice", "bob")
    ]

    assert answers == [200, 200]


@pytest.mark.parametrize("wait, status", [(180 * DAYS - SECOND, 200), (180 * DAYS, 429)])
def test_a_browser_is_known_for_180_days(home: Home, wait: timedelta, status: int) -> None:
    browser = browser_of(home)
    home.house.clock.now += wait
    fill_strangers(home, 100)

    answer = try_at(home.from_address(OTHER_STRANGER), password=PASSWORD, **browser)

    assert answer.status_code == status


@pytest.mark.parametrize("cookie", ["x", "", "A" * 43, "A" * 5_000, "é", '"'])
def test_a_made_up_cookie_makes_no_browser_known(home: Home, cookie: str) -> None:
    fill_strangers(home, 100)
    headers: Any = {"Cookie": f"__Host-twinlock-known={cookie}".encode("latin-1")}

    response = home.from_address(STRANGER).post(
        "/api/login", json={"username": "alice", "password": PASSWORD}, headers=headers
    )

    assert response.status_code == 429


def test_two_known_cookies_are_none(home: Home) -> None:
    """One of them was planted."""
    browser = browser_of(home)
    fill_strangers(home, 100)
    cookies = browser["Cookie"] + "; __Host-twinlock-known=x"

    answer = try_at(home.from_address(OTHER_STRANGER), password=PASSWORD, Cookie=cookies)

    assert answer.status_code == 429


def test_a_browser_is_known_after_a_full_sign_in_only(home: Home) -> None:
    first = try_at(home.client, "johndoe", PASSWORD, **ORIGIN)
    body = {"login": first.json()["login"], "answer": home.code()}
    second = home.client.post("/api/login/totp", json=body, headers=ORIGIN)

    assert "set-cookie" not in first.headers
    assert known_cookie(second)


def test_a_browser_is_known_after_a_sign_in_at_the_token_endpoint(home: Home) -> None:
    """As the tutorial's own page would sign in."""
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}

    response = home.client.post("/token", data=form, headers=ORIGIN)

    assert known_cookie(response)


def test_what_is_no_browser_is_given_no_cookie(home: Home) -> None:
    assert "set-cookie" not in try_at(home.client, password=PASSWORD).headers
    assert "set-cookie" not in token(home.client, "alice", PASSWORD).headers


# --- Names that nobody has ------------------------------------------------------------------


@pytest.mark.parametrize("door", ["two steps", "token"])
def test_waiting_tells_nothing_of_whether_a_name_exists(home: Home, door: str) -> None:
    ask = token if door == "token" else try_at

    def sequence(name: str, ip: str) -> list[tuple[tuple[int, bytes, list[str]], str | None]]:
        client, seen = home.from_address(ip), []
        for _ in range(12):
            response = ask(client, name, WRONG_PASSWORD)
            seen.append((told(response), response.headers.get("retry-after")))
        return seen

    unknown = sequence("nobody", "192.0.2.10")

    assert sequence("alice", "192.0.2.11") == unknown
    assert sequence("johndoe", "192.0.2.12") == unknown
    assert sequence("alice@example.com", "192.0.2.13") == unknown


def test_strangers_tell_nothing_of_whether_a_name_exists(home: Home) -> None:
    waits = []
    for name in ("alice", "nobody"):
        fill_strangers(home, 100, name)
        waits.append(
            [wait_of(try_from(ip, home, name)) for ip in (STRANGER, OTHER_STRANGER, "192.0.2.9")]
        )

    assert waits[0] == waits[1] == [(429, "60")] * 3


@pytest.mark.parametrize("state", ["disabled", "unverified", "passwordless", "expired"])
def test_waiting_tells_nothing_of_an_accounts_state(home: Home, state: str) -> None:
    create = home.house.create
    name = "bob"
    match state:
        case "disabled":
            create("bob", is_disabled=True)
        case "unverified":
            create("bob", is_email_verified=False)
            name = "bob@example.com"
        case "passwordless":
            create("bob", None)
        case _:
            create("bob", password_expires_at=home.house.now)

    answers = [wait_of(try_from(STRANGER, home, name, PASSWORD)) for _ in range(12)]

    assert answers == [wait_of(try_from(STRANGER, home, "nobody")) for _ in range(12)]


# --- Proxies --------------------------------------------------------------------------------


def forwarded(
    home: Home, value: str, *, peer: str = "10.0.0.1", username: str = "alice"
) -> Response:
    return try_at(home.from_address(peer), username, **{"X-Forwarded-For": value})


def test_nobody_escapes_by_naming_another_address(home: Home) -> None:
    """Forwarding headers are anybody's words where no proxy is configured."""
    answers = [forwarded(home, f"192.0.2.{number}").status_code for number in range(11)]

    assert answers == [401] * 10 + [429]


@pytest.mark.parametrize(
    "header", ["X-Real-IP", "Forwarded", "CF-Connecting-IP", "X-Client-IP", "X-Forwarded-Host"]
)
@pytest.mark.parametrize("proxies", [[], ["10.0.0.0/8"]], ids=["direct", "proxied"])
def test_no_other_header_names_an_address(
    settle: Callable[..., Home], header: str, proxies: list[str]
) -> None:
    home = settle(trusted_proxies=proxies)
    client = home.from_address("10.0.0.1")

    answers = [
        try_at(client, **{header: f"for=192.0.2.{number}"}).status_code for number in range(11)
    ]

    assert answers == [401] * 10 + [429]


@pytest.fixture
def proxied(settle: Callable[..., Home]) -> Home:
    """Behind proxies at 10.0.0.0/8 and 2001:db8:f::/48."""
    home = settle(trusted_proxies=["10.0.0.0/8", "2001:db8:f::/48"])
    home.house.create("alice")
    return home


def test_behind_a_proxy_clients_are_told_apart(proxied: Home) -> None:
    answers = [forwarded(proxied, f"192.0.2.{number}").status_code for number in range(11)]

    assert answers == [401] * 11


@pytest.mark.parametrize(
    "value",
    [
        "192.0.2.1",
        "1.1.1.1, 192.0.2.1",
        "192.0.2.1, 10.0.0.9",
        "1.1.1.1,192.0.2.1,10.0.0.9,10.0.0.8",
        "garbage, 192.0.2.1",
        "10.0.0.3, 192.0.2.1, 2001:db8:f::1",
        "::ffff:192.0.2.1",
    ],
)
def test_the_rightmost_hop_that_is_no_proxy_counts(proxied: Home, value: str) -> None:
    """Everything to the left of it is what the client says."""
    count_ten(proxied, "192.0.2.1")

    assert forwarded(proxied, value).status_code == 429


@pytest.mark.parametrize(
    "value",
    ["", "garbage", "unknown", "192.0.2.1:80", "1.2.3", "999.1.1.1", "192.0.2.7, x", ",", "_"],
)
def test_what_is_no_address_falls_back_to_the_peer(proxied: Home, value: str) -> None:
    count_ten(proxied, "10.0.0.1")

    assert forwarded(proxied, value).status_code == 429


def test_a_hop_that_is_no_address_falls_back_to_the_peer(proxied: Home) -> None:
    """Not to the proxy behind it, which an attacker could have named."""
    count_ten(proxied, "10.0.0.1")

    assert forwarded(proxied, "garbage, 10.0.0.9").status_code == 429


def test_several_headers_are_one_list(proxied: Home) -> None:
    """RFC 9110 section 5.3."""
    count_ten(proxied, "192.0.2.1")
    client = proxied.from_address("10.0.0.1")
    headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "192.0.2.1, 10.0.0.9")]

    response = client.post(
        "/api/login", json={"username": "alice", "password": PASSWORD}, headers=headers
    )

    assert response.status_code == 429


def test_a_peer_that_is_no_proxy_is_not_believed(proxied: Home) -> None:
    answers = [
        forwarded(proxied, f"192.0.2.{number}", peer=OTHER_STRANGER).status_code
        for number in range(11)
    ]

    assert answers == [401] * 10 + [429]


# --- What counts outlive, and what they leave alone -----------------------------------------


def restart(home: Home) -> None:
    home.house.auth.close()
    home.house.auth.start()


def test_counts_survive_a_restart(home: Home) -> None:
    for _ in range(10):
        try_from(STRANGER, home)

    restart(home)

    assert try_from(STRANGER, home, password=PASSWORD).status_code == 429


def test_known_browsers_survive_a_restart(home: Home) -> None:
    browser = browser_of(home)
    fill_strangers(home, 100)

    restart(home)

    answer = try_at(home.from_address(OTHER_STRANGER), password=PASSWORD, **browser)
    assert answer.status_code == 200


def test_a_clock_that_was_set_back_locks_nobody_out_for_long(home: Home) -> None:
    count_ten(home)
    home.house.clock.now -= 365 * DAYS

    response = try_from(STRANGER, home, password=PASSWORD)
    home.house.clock.now += 10 * MINUTES

    assert wait_of(response) == (429, "600")
    assert try_from(STRANGER, home, password=PASSWORD).status_code == 200


def test_sessions_and_tokens_go_on_while_their_account_is_under_attack(home: Home) -> None:
    client = home.from_address(STRANGER)
    tokens = sign_in(client, "alice")
    count_ten(home)
    fill_strangers(home, 100)
    assert try_at(client, password=PASSWORD).status_code == 429

    me = client.get("/users/me", headers=bearer(tokens))
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refreshed = client.post("/token", data=form)

    assert (me.status_code, refreshed.status_code) == (200, 200)
    assert client.get("/api/account", headers=bearer(refreshed.json())).status_code == 200


def test_a_pending_login_goes_on_while_its_account_is_under_attack(home: Home) -> None:
    handle = home.begin()
    fill_strangers(home, 100, "johndoe")
    count_ten(home, "testclient", "johndoe")

    assert home.answer(handle, home.code()).status_code == 200


def test_an_administrator_unlocks_an_account(home: Home) -> None:
    fill_strangers(home, 100)

    home.house.administration.unlock(home.house.account("alice"), OPERATOR, now=home.house.now)

    assert try_from(STRANGER, home, password=PASSWORD).status_code == 200
