"""A writer to the database who holds no master key makes, moves and raises no session."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.support.house import BASE_URL, PASSWORD, House, bearer, sign_in
from twinlock.core.secrets import digest
from twinlock.sessions.store import get_session


def write(house: House, statement: str, **params: object) -> None:
    """Change the database behind the program's back, and have it look again."""
    with house.database.engine.begin() as connection:
        assert connection.execute(text(statement), params).rowcount > 0
    house.runtime.sight.look_around()
    house.runtime.parts.marks.bump_all()


def session_of(house: House, client: TestClient, headers: dict[str, str]) -> str:
    """Return the id of a session."""
    listed = client.get("/api/sessions", headers=headers).json()["sessions"]
    return str(next(one["id"] for one in listed if one["current"]))


@pytest.mark.parametrize(
    "change",
    [
        "acr = 'aal2', amr = 'pwd otp mfa'",
        "acr = 'phr'",
        "acr = 'none'",
        "scope = 'items:read'",
        "auth_time = expires_at",
        "generation = generation + 1",
        "refresh_counter = refresh_counter + 1",
        "seal = zeroblob(36)",
    ],
)
def test_a_session_that_was_changed_opens_and_refreshes_nothing(
    sqlite_house: House, change: str
) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        tokens = sign_in(client)

        write(sqlite_house, f"UPDATE session SET {change}")

        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert client.get("/users/me", headers=bearer(tokens)).status_code == 401
        assert client.post("/token", data=form).status_code == 400


def test_a_spent_refresh_token_is_not_made_the_next_one(house: House, client: TestClient) -> None:
    house.create()
    first = sign_in(client)
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = client.post("/token", data=form).json()
    house.clock.advance(minutes=1)

    write(house, "UPDATE session SET refresh_counter = 0")

    assert client.post("/token", data=form).status_code == 400
    assert client.get("/users/me", headers=bearer(second)).status_code == 401


def test_a_session_of_an_earlier_release_goes_on(house: House, client: TestClient) -> None:
    house.create()
    tokens = sign_in(client)
    mine = session_of(house, client, bearer(tokens))
    keyring = house.runtime.parts.keyring
    found = house.database.reading(get_session, keyring, mine)
    assert found is not None
    older = keyring.mac("session", *found.sealed_content[:-1])
    write(house, "UPDATE session SET seal = :older", older=older)

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refreshed = client.post("/token", data=form)

    assert client.get("/users/me", headers=bearer(refreshed.json())).status_code == 200
    write(house, "UPDATE session SET refresh_counter = 0")
    assert client.post("/token", data=form).status_code == 400


def sign_out(client: TestClient, tokens: dict[str, Any]) -> Any:
    return client.post("/api/logout", headers=bearer(tokens))


def revoke(client: TestClient, tokens: dict[str, Any]) -> Any:
    return client.post("/revoke", data={"token": tokens["refresh_token"]})


def end_from_another(client: TestClient, tokens: dict[str, Any]) -> Any:
    return client.delete("/api/sessions", headers=bearer(sign_in(client)))


def use_twice(client: TestClient, tokens: dict[str, Any]) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    form["refresh_token"] = client.post("/token", data=form).json()["refresh_token"]
    assert client.post("/token", data=form).status_code == 200
    form["refresh_token"] = tokens["refresh_token"]
    assert client.post("/token", data=form).status_code == 400
    return client.get("/healthz")


@pytest.mark.parametrize("end", [sign_out, revoke, end_from_another, use_twice])
def test_an_ended_session_is_not_brought_back(
    house: House, client: TestClient, end: Callable[[TestClient, dict[str, Any]], Any]
) -> None:
    house.create()
    tokens = sign_in(client)
    assert end(client, tokens).status_code < 300

    write(house, "UPDATE session SET ended_at = NULL")

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert client.get("/users/me", headers=bearer(tokens)).status_code == 401
    assert client.post("/token", data=form).status_code == 400


def test_a_session_moved_to_another_account_refreshes_nothing(
    house: House, client: TestClient
) -> None:
    house.create()
    victim = house.create("victim")
    tokens = sign_in(client)
    mine = session_of(house, client, bearer(tokens))

    write(
        house,
        "UPDATE session SET subject_id = :victim WHERE id = :mine",
        victim=victim.subject,
        mine=mine,
    )

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert client.post("/token", data=form).status_code == 400


def test_a_cookie_of_one_s_own_choice_opens_nobody_s_session(
    house: House, client: TestClient
) -> None:
    house.create()
    body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
    client.post("/api/login", json=body, headers={"Origin": BASE_URL})
    chosen = "a-secret-that-the-attacker-knows"

    write(house, "UPDATE session SET cookie_digest = :digest", digest=digest(chosen))

    opened = client.get("/users/me", headers={"Cookie": f"__Host-twinlock={chosen}"})
    assert opened.status_code == 401
