"""Refresh tokens and ``/revoke``: one family, one child, one grace."""

import base64
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.support.house import OPERATOR, PASSWORD, House, bearer, sign_in


def refresh(client: TestClient, tokens: dict[str, Any], **fields: str) -> Response:
    """Use a refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], **fields}
    return client.post("/token", data=form)


def revoke(client: TestClient, token: str) -> Response:
    """Revoke a token."""
    return client.post("/revoke", data={"token": token})


def is_alive(client: TestClient, tokens: dict[str, Any]) -> bool:
    """Tell whether an access token opens something."""
    return client.get("/users/me", headers=bearer(tokens)).status_code == 200


def claims(tokens: dict[str, Any]) -> dict[str, Any]:
    """Return what an access token says, unverified."""
    payload = tokens["access_token"].split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return decoded


def test_every_use_gives_the_next_token(house: House, client: TestClient) -> None:
    house.create()
    first = sign_in(client)

    second = refresh(client, first).json()
    third = refresh(client, second).json()

    assert len({one["refresh_token"] for one in (first, second, third)}) == 3
    assert is_alive(client, third)


def test_a_client_whose_reply_was_lost_gets_the_same_child_for_ten_seconds(
    house: House, client: TestClient
) -> None:
    house.create()
    first = sign_in(client)

    child = refresh(client, first).json()
    house.clock.advance(seconds=9, microseconds=999_999)
    again = refresh(client, first).json()

    assert again["refresh_token"] == child["refresh_token"]
    assert is_alive(client, child)


@pytest.mark.parametrize("case", ["late", "child used", "grandparent"])
def test_any_other_second_use_ends_the_family(house: House, client: TestClient, case: str) -> None:
    """RFC 9700 section 4.14.2."""
    house.create()
    first = sign_in(client)
    newest = refresh(client, first).json()
    if case == "late":
        house.clock.advance(seconds=10)
    else:
        newest = refresh(client, newest).json()
    if case == "grandparent":
        newest = refresh(client, newest).json()

    reused = refresh(client, first)

    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert refresh(client, newest).status_code == 400
    assert not is_alive(client, newest)
    assert not is_alive(client, first)


def test_without_a_grace_even_the_first_repeat_ends_the_family(sqlite_house: House) -> None:
    strict = sqlite_house.again(refresh_grace=0)
    with strict.open() as client:
        strict.create()
        first = sign_in(client)
        child = refresh(client, first).json()

        assert refresh(client, first).status_code == 400
        assert not is_alive(client, child)


def test_reuse_ends_only_its_own_family(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        stolen, other = sign_in(client), sign_in(client)
        refresh(client, refresh(client, stolen).json())

        refresh(client, stolen)

        assert is_alive(client, other)
        assert refresh(client, other).status_code == 200


def test_refreshing_says_what_the_sign_in_proved_and_no_more(
    house: House, client: TestClient
) -> None:
    house.create()
    enrolled = house.enroll(client)
    signed_in = claims(enrolled.tokens)
    house.clock.advance(minutes=9)

    refreshed = claims(refresh(client, enrolled.tokens).json())

    for claim in ("acr", "amr", "auth_time", "sid", "sub"):
        assert refreshed[claim] == signed_in[claim]
    assert refreshed["jti"] != signed_in["jti"]


def test_a_step_up_never_reaches_the_refresh_family(house: House, client: TestClient) -> None:
    house.create()
    enrolled = house.enroll(client)
    house.clock.advance(hours=1)
    refreshed = refresh(client, enrolled.tokens).json()
    begun = client.post("/api/reauthenticate", json={}, headers=bearer(refreshed)).json()
    stepped_up = client.post(
        "/api/reauthenticate/totp",
        json={
            "reauthentication": begun["reauthentication"],
            "answer": enrolled.phone.code(house.now),
        },
        headers=bearer(refreshed),
    ).json()

    again = refresh(client, refreshed).json()

    assert claims(stepped_up)["auth_time"] == int(house.now.timestamp())
    assert claims(again)["auth_time"] == claims(enrolled.tokens)["auth_time"]
    assert "refresh_token" not in stepped_up


def test_a_family_dies_when_it_is_unused_for_fourteen_days(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        kept, unused = sign_in(client), sign_in(client)
        sqlite_house.clock.advance(days=13, hours=23)
        kept = refresh(client, kept).json()
        sqlite_house.clock.advance(hours=1)

        assert refresh(client, unused).status_code == 400
        assert refresh(client, kept).status_code == 200


def test_a_family_dies_after_ninety_days_however_much_it_is_used(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        tokens = sign_in(client)
        for _ in range(8):
            sqlite_house.clock.advance(days=11)
            tokens = refresh(client, tokens).json()
        sqlite_house.clock.advance(days=1, hours=23, minutes=59)
        last = refresh(client, tokens)
        assert last.status_code == 200
        assert last.json()["expires_in"] == 600
        sqlite_house.clock.advance(minutes=1)

        assert refresh(client, last.json()).status_code == 400
        assert not is_alive(client, last.json())


@pytest.mark.parametrize("act", ["disable", "delete", "password", "roles"])
def test_a_change_to_the_account_ends_its_families(
    house: House, client: TestClient, act: str
) -> None:
    account = house.create()
    house.create("boss", roles=("admin",))
    tokens = sign_in(client)
    assert is_alive(client, tokens)

    admin = house.administration
    match act:
        case "disable":
            admin.disable(account, OPERATOR, now=house.now)
        case "delete":
            admin.delete(account, OPERATOR, now=house.now)
        case "password":
            new_hash = house.runtime.password_check.new_hash("something else entirely")
            admin.set_password(account, new_hash, OPERATOR, now=house.now)
        case _:
            admin.change(account, OPERATOR, roles=["editor"], now=house.now)

    assert not is_alive(client, tokens)
    assert refresh(client, tokens).status_code == 400


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_revoking_either_token_ends_the_session(
    house: House, client: TestClient, kind: str
) -> None:
    """RFC 7009 section 2.1."""
    house.create()
    tokens = sign_in(client)

    assert revoke(client, tokens[kind]).status_code == 200

    assert not is_alive(client, tokens)
    assert refresh(client, tokens).status_code == 400


@pytest.mark.parametrize("token", ["x", "tlr_", "tlr_" + "A" * 75, "a.b.c", "é", "a" * 50_000])
def test_revoking_what_is_no_token_is_answered_like_any_other(
    sqlite_house: House, token: str
) -> None:
    with sqlite_house.open() as client:
        assert revoke(client, token).status_code == 200
        assert client.post("/token", data={"grant_type": "refresh_token", "refresh_token": token}
        ).json()["error"] == "invalid_grant"  # fmt: skip


def test_an_access_token_is_no_refresh_token_and_the_other_way_round(
    sqlite_house: House,
) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        tokens = sign_in(client)

        assert refresh(client, {"refresh_token": tokens["access_token"]}).status_code == 400
        assert not is_alive(client, {"access_token": tokens["refresh_token"]})


def test_the_session_id_alone_neither_refreshes_nor_ends_a_family(sqlite_house: House) -> None:
    """A session's handle is shown to many and is no secret."""
    with sqlite_house.open() as client:
        sqlite_house.create()
        tokens = sign_in(client)
        raw = base64.urlsafe_b64decode(tokens["refresh_token"].removeprefix("tlr_") + "==")
        for position in range(len(raw)):
            changed = bytearray(raw)
            changed[position] ^= 1
            forged = "tlr_" + base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
            assert refresh(client, {"refresh_token": forged}).status_code == 400
            assert revoke(client, forged).status_code == 200

        assert is_alive(client, tokens)
        assert refresh(client, tokens).status_code == 200


def test_a_scope_can_be_narrowed_and_never_widened(sqlite_house: House) -> None:
    """RFC 6749 section 6."""
    with sqlite_house.open() as client:
        sqlite_house.create()
        tokens = sign_in(client)

        widened = refresh(client, tokens, scope="items:read")

        assert (widened.status_code, widened.json()["error"]) == (400, "invalid_scope")
        assert refresh(client, tokens).status_code == 200


def test_the_fifty_first_session_ends_the_oldest(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        all_tokens = []
        for _ in range(51):
            sqlite_house.clock.advance(seconds=1)
            all_tokens.append(sign_in(client))

        assert not is_alive(client, all_tokens[0])
        assert is_alive(client, all_tokens[1])
        assert is_alive(client, all_tokens[-1])


def test_access_tokens_say_what_the_contract_names(sqlite_house: House) -> None:
    """RFC 9068 section 2."""
    with sqlite_house.open() as client:
        account = sqlite_house.create(roles=("editor",))
        tokens = sign_in(client, password=PASSWORD)
        said = claims(tokens)

        header = json.loads(base64.urlsafe_b64decode(tokens["access_token"].split(".")[0] + "=="))
        assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
        assert said["iss"] == said["aud"] == "http://localhost:8000"
        assert said["sub"] == account.subject
        assert (said["client_id"], said["scope"]) == ("twinlock", "")
        assert (said["roles"], said["acr"], said["amr"]) == (["editor"], "aal1", ["pwd"])
        assert said["exp"] - said["iat"] == 600
        assert said["auth_time"] == said["iat"] == int(sqlite_house.now.timestamp())
