"""Lists that clients page through, and the ids in them (contract.md, section 1)."""

import base64
from typing import Any

import pytest

from tests.support.home import Home
from tests.support.house import bearer, sign_in

LISTS = {"/api/events": "events", "/api/sessions": "sessions", "/api/devices": "devices"}


def pages_of(home: Home, path: str, key: str, headers: dict[str, str]) -> list[list[Any]]:
    pages, query = [], "limit=2"
    while True:
        page = home.client.get(f"{path}?{query}", headers=headers).json()
        pages.append(page[key])
        if page["next_cursor"] is None:
            return pages
        query = f"limit=2&cursor={page['next_cursor']}"


@pytest.mark.parametrize("path, key", LISTS.items())
def test_pages_together_are_the_list(home: Home, path: str, key: str) -> None:
    tokens = home.john.tokens
    for _ in range(4):
        body = {"login": home.begin(), "answer": home.code(), "trust_device": True}
        tokens = home.client.post("/api/login/totp", json=body).json()

    whole = home.client.get(path, headers=bearer(tokens)).json()
    pages = pages_of(home, path, key, bearer(tokens))

    assert whole["next_cursor"] is None
    assert [one for page in pages for one in page] == whole[key]
    assert len(whole[key]) >= 4
    assert {len(page) for page in pages[:-1]} == {2}


def test_a_page_goes_on_behind_a_session_that_ended(home: Home) -> None:
    tokens = home.john.tokens
    for _ in range(4):
        tokens = sign_in(home.client, otp=home.code())
    first = home.client.get("/api/sessions?limit=2", headers=bearer(tokens)).json()
    last = first["sessions"][-1]["id"]
    assert home.client.delete(f"/api/sessions/{last}", headers=bearer(tokens)).status_code == 204

    path = f"/api/sessions?limit=9&cursor={first['next_cursor']}"
    rest = home.client.get(path, headers=bearer(tokens)).json()["sessions"]

    assert len(rest) == 3
    assert not {one["id"] for one in rest} & {one["id"] for one in first["sessions"]}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=x",
        "limit=1.5",
        "cursor=",
        "cursor=x",
        "cursor=AAAA",
        "cursor=" + "0" * 32,
        "cursor=" + "f" * 32,
        "cursor=" + base64.urlsafe_b64encode("²².00".encode()).decode().rstrip("="),
        "cursor=" + "A" * 2_000,
        "cursor=%00",
    ],
)
def test_no_limit_beyond_the_bounds_and_no_cursor_that_no_page_gave(
    standing: Home, path: str, query: str
) -> None:
    response = standing.client.get(f"{path}?{query}", headers=standing.john.bearer)

    assert response.status_code == 422
    assert response.json()["type"] == "invalid_request"


def test_no_id_that_is_shown_tells_when_it_was_made(home: Home) -> None:
    ids, tokens = [], home.john.tokens
    for _ in range(12):
        tokens = sign_in(home.client, otp=home.code())
    for path, key in LISTS.items():
        ids += [one["id"] for one in home.client.get(path, headers=bearer(tokens)).json()[key]]
    ids += [
        one["id"]
        for one in home.client.get("/api/factors", headers=bearer(tokens)).json()["factors"]
    ]

    assert len(ids) == len(set(ids)) > 24
    assert len({one[:3] for one in ids}) > 12
    assert len({one[12] for one in ids}) > 3


def test_the_id_of_an_event_stays_the_same(home: Home) -> None:
    headers = home.john.bearer
    first = home.client.get("/api/events", headers=headers).json()["events"]
    home.house.clock.advance(minutes=5)
    sign_in(home.client, otp=home.code())

    later = home.client.get("/api/events", headers=headers).json()["events"]

    assert later[-len(first) :] == first
