"""Credentials that look like others: cookies in disguise, ids that are none, keys that are not."""

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc import jws
from sqlalchemy import event

from tests.support.house import PASSWORD, House, bearer, sign_in
from twinlock.core.secrets import new_id
from twinlock.web.cookies import read_cookie

ORIGIN = {"Origin": "http://localhost:8000"}
SESSION = "__Host-twinlock"


def sign_in_for_cookie(client: TestClient) -> str:
    """Sign in and return the secret of the session cookie."""
    body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
    answer = client.post("/api/login", json=body, headers=ORIGIN)
    cookies = answer.headers.get_list("set-cookie")
    [pair] = [one.partition(";")[0] for one in cookies if one.startswith(f"{SESSION}=")]
    return pair.partition("=")[2]


@pytest.mark.parametrize("blank", ["\xa0", "\x85", "\x1c", "\v"])
def test_a_cookie_is_ours_by_its_exact_name(blank: str) -> None:
    """RFC 6265 section 5.2: only spaces and tabs are no part of a name.

    For a name that begins with another blank the rules of ``__Host-`` do not hold.
    """
    planted = f"{blank}{SESSION}=planted"

    assert read_cookie(planted, SESSION) is None
    assert read_cookie(f"{SESSION}=own;{planted}", SESSION) == "own"
    assert read_cookie(f"a=b; \t{SESSION} = own ", SESSION) == "own"


@pytest.mark.parametrize("prefix", ["cookie:", "\N{BLACK CIRCLE}"])
def test_a_cookie_is_no_bearer_token(sqlite_house: House, prefix: str) -> None:
    """Or its holder would get round the CSRF token and the cookie's lifetimes."""
    with sqlite_house.open() as client:
        sqlite_house.create()
        secret = sign_in_for_cookie(client)
        remembered = client.get("/users/me", headers={"Cookie": f"{SESSION}={secret}"})

        answer = client.get(
            "/users/me", headers={b"Authorization": f"Bearer {prefix}{secret}".encode()}
        )

    assert (remembered.status_code, answer.status_code) == (200, 401)


@pytest.mark.parametrize("session_id", ["%00", "0" * 31 + "%00", "x", "0" * 33, "\N{SNOWMAN}"])
def test_an_id_that_is_none_is_not_found(house: House, session_id: str) -> None:
    """PostgreSQL refuses NUL in text."""
    with house.open() as client:
        house.create()
        headers = bearer(sign_in(client))

        answer = client.delete(f"/api/sessions/{session_id}", headers=headers)

    assert answer.status_code == 404


def test_revoking_reads_the_database_on_threads_of_its_own(sqlite_house: House) -> None:
    """Whoever invents a key id must not stop the event loop for all others."""
    threads: set[str] = set()
    forged = jws.serialize_compact(
        {"typ": "at+jwt", "alg": "ES256", "kid": new_id()}, "{}", _any_key()
    )

    def note(*_: object) -> None:
        threads.add(threading.current_thread().name)

    with sqlite_house.open() as client:
        engine = sqlite_house.database.engine
        event.listen(engine, "before_cursor_execute", note)

        answer = client.post("/revoke", data={"token": forged})

    assert answer.status_code == 200
    assert threads
    assert all(name.startswith(("twinlock-db", "twinlock-poll")) for name in threads)


def _any_key() -> Any:
    from joserfc.jwk import ECKey

    return ECKey.generate_key("P-256")
