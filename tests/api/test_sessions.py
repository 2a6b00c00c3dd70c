"""The account's own pages: sessions, profile, password, history."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.house import OPERATOR, PASSWORD, House, bearer, sign_in, token


def sessions_of(client: TestClient, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    """List sessions."""
    listed: list[dict[str, Any]] = client.get("/api/sessions", headers=bearer(tokens)).json()[
        "sessions"
    ]
    return listed


def test_sessions_are_listed_with_the_current_one_marked(house: House, client: TestClient) -> None:
    house.create()
    house.create("alice")
    first, second = sign_in(client), sign_in(client)
    sign_in(client, "alice")

    listed = sessions_of(client, first)

    assert [one["current"] for one in listed].count(True) == 1
    assert len(listed) == 2
    assert {one["acr"] for one in listed} == {"aal1"}
    assert second["refresh_token"] not in str(listed)


def test_one_session_can_be_ended_from_another(house: House, client: TestClient) -> None:
    house.create()
    kept, ended = sign_in(client), sign_in(client)
    other = next(one["id"] for one in sessions_of(client, kept) if not one["current"])

    answer = client.delete(f"/api/sessions/{other}", headers=bearer(kept))

    assert answer.status_code == 204
    assert client.get("/users/me", headers=bearer(ended)).status_code == 401
    assert client.get("/users/me", headers=bearer(kept)).status_code == 200


def test_all_other_sessions_can_be_ended_at_once(house: House, client: TestClient) -> None:
    house.create()
    others = [sign_in(client) for _ in range(3)]
    kept = sign_in(client)

    answer = client.delete("/api/sessions", headers=bearer(kept))

    assert answer.json() == {"ended": 3}
    assert {client.get("/users/me", headers=bearer(one)).status_code for one in others} == {401}
    assert client.get("/users/me", headers=bearer(kept)).status_code == 200


def test_ending_other_sessions_wants_a_proof_of_the_last_ten_minutes(
    house: House, client: TestClient
) -> None:
    house.create()
    mine = sign_in(client)
    sign_in(client)
    listed = sessions_of(client, mine)
    other = next(one["id"] for one in listed if not one["current"])
    own = next(one["id"] for one in listed if one["current"])
    house.clock.advance(minutes=10, seconds=1)
    form = {"grant_type": "refresh_token", "refresh_token": mine["refresh_token"]}
    headers = bearer(client.post("/token", data=form).json())

    assert client.delete("/api/sessions", headers=headers).status_code == 401
    assert client.delete(f"/api/sessions/{other}", headers=headers).status_code == 401
    assert client.delete(f"/api/sessions/{own}", headers=headers).status_code == 204


def test_a_session_of_somebody_else_is_not_found(house: House, client: TestClient) -> None:
    house.create()
    house.create("alice")
    johns, alices = sign_in(client), sign_in(client, "alice")
    hers = sessions_of(client, alices)[0]["id"]

    answer = client.delete(f"/api/sessions/{hers}", headers=bearer(johns))

    assert answer.status_code == 404
    assert client.get("/users/me", headers=bearer(alices)).status_code == 200


def test_signing_out_ends_this_session_only(house: House, client: TestClient) -> None:
    house.create()
    gone, kept = sign_in(client), sign_in(client)

    assert client.post("/api/logout", headers=bearer(gone)).status_code == 204

    assert client.get("/users/me", headers=bearer(gone)).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": gone["refresh_token"]}
    assert client.post("/token", data=form).status_code == 400
    assert client.get("/users/me", headers=bearer(kept)).status_code == 200


def change(client: TestClient, headers: dict[str, str], current: str, new: str) -> Any:
    """Change the password."""
    body = {"current_password": current, "new_password": new}
    return client.post("/api/account/password", json=body, headers=headers)


def test_a_password_is_changed_with_the_current_one(house: House, client: TestClient) -> None:
    """ASVS 5.0 6.2.3."""
    house.create()
    headers = bearer(sign_in(client))

    wrong = change(client, headers, "not the password", "another long passphrase")
    right = change(client, headers, PASSWORD, "another long passphrase")

    assert (wrong.status_code, wrong.json()["type"]) == (400, "wrong_password")
    assert right.status_code == 200
    assert token(client, "johndoe", PASSWORD).status_code == 400
    assert token(client, "johndoe", "another long passphrase").status_code == 200


@pytest.mark.parametrize(
    "new, type_",
    [
        ("1234567", "password_too_short"),
        ("x" * 1_025, "password_too_long"),
        ("password123", "password_common"),
        ("johndoe2026", "password_context_word"),
        ("twinlock!!", "password_context_word"),
        ("a long one with \x00 in it", "password_contains_nul"),
        ("abcdefghijkl", "password_pattern"),
        ("zzzzzzzzzzzz", "password_pattern"),
    ],
)
def test_weak_passwords_are_refused_with_the_reason(
    sqlite_house: House, new: str, type_: str
) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()

        answer = change(client, bearer(sign_in(client)), PASSWORD, new)

        assert (answer.status_code, answer.json()["type"]) == (400, type_)
        assert new not in answer.text


@pytest.mark.parametrize(
    "new",
    [
        " leading and trailing ",
        "日本語のパスワードです",
        "ｆｕｌｌ　ｗｉｄｔｈ",
        "cafe\u0301 ne\u0301e trop to\u0302t",
        "x" * 1_024,
    ],
)
def test_passwords_are_taken_as_received(sqlite_house: House, new: str) -> None:
    """ASVS 5.0 6.2.8: no trimming, no normalisation, no truncation."""
    with sqlite_house.open() as client:
        sqlite_house.create()
        assert change(client, bearer(sign_in(client)), PASSWORD, new).status_code == 200

        variants = [new.strip() + "x", new[:-1], new + " ", new.upper() + "X"]
        for variant in variants:
            assert token(client, "johndoe", variant).status_code == 400
        assert token(client, "johndoe", new).status_code == 200


def test_a_stolen_session_cannot_guess_the_password_without_end(
    house: House, client: TestClient
) -> None:
    house.create()
    headers = bearer(sign_in(client))

    statuses = [
        change(client, headers, f"guess number {n}", "another long passphrase").status_code
        for n in range(11)
    ]

    assert statuses[:10] == [400] * 10
    assert statuses[10] == 429


def test_the_profile_can_be_changed(house: House, client: TestClient) -> None:
    house.create()
    headers = bearer(sign_in(client))

    changed = client.patch("/api/account", json={"full_name": "Jane Doe"}, headers=headers)

    assert changed.json()["full_name"] == "Jane Doe"
    assert client.get("/users/me", headers=headers).json()["full_name"] == "Jane Doe"


def test_the_language_is_chosen_over_the_api_and_pages_and_mails_speak_it(
    house: House, client: TestClient
) -> None:
    house.create(full_name="John Doe")
    headers = bearer(sign_in(client))

    chosen = client.patch("/api/account", json={"language": "ar"}, headers=headers)

    assert (chosen.json()["language"], chosen.json()["full_name"]) == ("ar", "John Doe")
    assert client.get("/api/account", headers=headers).json()["language"] == "ar"
    assert house.account().language == "ar"
    both = {"full_name": None, "language": None}
    cleared = client.patch("/api/account", json=both, headers=headers).json()
    assert (cleared["language"], cleared["full_name"]) == (None, None)


@pytest.mark.parametrize(
    "body", [{}, {"language": "xx"}, {"language": ["de"]}, {"language": "DE"}, {"language": ""}]
)
def test_an_unknown_language_or_no_change_is_refused(
    house: House, client: TestClient, body: dict[str, object]
) -> None:
    house.create()
    headers = bearer(sign_in(client))

    assert client.patch("/api/account", json=body, headers=headers).status_code == 422
    assert client.get("/api/account", headers=headers).json()["language"] is None


def test_roles_and_names_cannot_be_given_to_oneself(house: House, client: TestClient) -> None:
    house.create()
    headers = bearer(sign_in(client))

    body = {"full_name": "X", "roles": ["admin"], "username": "admin", "disabled": True}
    client.patch("/api/account", json=body, headers=headers)

    account = client.get("/api/account", headers=headers).json()
    assert (account["roles"], account["username"]) == ([], "johndoe")


def test_the_history_tells_what_happened_the_newest_first(house: House, client: TestClient) -> None:
    house.create()
    house.create("alice")
    house.clock.advance(seconds=1)
    token(client, "johndoe", "a wrong password")
    house.clock.advance(seconds=1)
    headers = bearer(sign_in(client))
    token(client, "alice", "a wrong password")

    events = client.get("/api/events", headers=headers).json()["events"]

    assert [one["type"] for one in events] == [
        "login.succeeded",
        "login.denied",
        "account.created",
    ]
    assert events[1]["reason"] == "wrong_password"


def test_the_history_is_paged(house: House, client: TestClient) -> None:
    house.create()
    for _ in range(3):
        house.clock.advance(seconds=1)
        sign_in(client)
    house.clock.advance(seconds=1)
    headers = bearer(sign_in(client))

    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/api/events?limit=2{cursor}", headers=headers).json()
        seen += [one["id"] for one in page["events"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert len(seen) == len(set(seen)) == 5
    at_once = client.get("/api/events", headers=headers).json()["events"]
    assert seen == [one["id"] for one in at_once]


def test_a_name_change_is_seen_by_live_sessions_at_once(house: House, client: TestClient) -> None:
    account = house.create()
    headers = bearer(sign_in(client))
    assert client.get("/users/me", headers=headers).json()["full_name"] == "John Doe"

    house.administration.change(account, OPERATOR, full_name="J. Doe", now=house.now)

    assert client.get("/users/me", headers=headers).json()["full_name"] == "J. Doe"
