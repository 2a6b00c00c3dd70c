"""A token whose session is over is refused from memory; what may come back is asked again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from tests.support.house import House, bearer, sign_in
from twinlock.audit.events import Caller
from twinlock.core.proof import Acr
from twinlock.policies.policy import Kind, Policy
from twinlock.web.sight import Sight


@pytest.fixture
def house(sqlite_house: House) -> Iterator[House]:
    """Two accounts, and no poll, which would forget their sessions at some moment or other."""
    with sqlite_house.open():
        sqlite_house.create("johndoe")
        sqlite_house.create("janedoe")
        sqlite_house.runtime.sight.close()
        yield sqlite_house


@contextmanager
def statements_of(house: House) -> Iterator[list[str]]:
    """Collect what the database is asked."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        statements.append(statement)

    engine = house.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def read(house: House, tokens: dict[str, Any]) -> int:
    """Read a second after whatever was refused before."""
    sight: Sight = house.runtime.sight
    sight._refused.clear()
    return house.client().get("/users/me", headers=bearer(tokens)).status_code


def test_a_token_that_was_ended_is_not_looked_up_again(house: House) -> None:
    client = house.client()
    kept, ended = sign_in(client, "johndoe"), sign_in(client, "johndoe")
    before = [read(house, kept), read(house, ended)]
    client.post("/api/logout", headers=bearer(ended))
    first = read(house, ended)

    with statements_of(house) as statements:
        again = [read(house, ended) for _ in range(3)]
    others = read(house, kept)

    assert (before, first, again, others) == ([200, 200], 401, [401] * 3, 200)
    assert statements == []


def test_an_ended_token_tells_nothing_of_another_of_the_account(house: House) -> None:
    client = house.client()
    ended = sign_in(client, "johndoe")
    client.post("/api/logout", headers=bearer(ended))
    assert read(house, ended) == 401

    newer = sign_in(client, "johndoe")

    assert read(house, newer) == 200
    assert read(house, ended) == 401


def test_a_session_that_a_policy_stops_goes_on_when_the_policy_goes(house: House) -> None:
    """Nothing has ended it: it must not be remembered as over."""
    client = house.client()
    tokens = sign_in(client, "janedoe")
    assert read(house, tokens) == 200
    strict = Policy(Kind.EVERYONE, "", Acr.AAL2, since=house.now)
    policies = house.policy_administration

    policies.set_policy(strict, Caller(), now=house.now)
    stopped = read(house, tokens), read(house, tokens)
    policies.remove_policy(Kind.EVERYONE, "", Caller(), now=house.now)

    assert stopped == (401, 401)
    assert read(house, tokens) == 200


def test_what_the_latest_request_found_is_gone_with_its_session(
    sqlite_house: House, host: TestClient
) -> None:
    sqlite_house.create("johndoe")
    tokens = sign_in(host, "johndoe")
    before = [host.get("/items", headers=bearer(tokens)).status_code for _ in range(3)]

    host.post("/api/logout", headers=bearer(tokens))

    after = [host.get("/items", headers=bearer(tokens)).status_code for _ in range(3)]
    assert (before, after) == ([200] * 3, [401] * 3)


def test_a_token_expires_in_the_memory_of_the_latest_request(
    sqlite_house: House, host: TestClient
) -> None:
    sqlite_house.create("johndoe")
    tokens = sign_in(host, "johndoe")
    before = host.get("/items", headers=bearer(tokens)).status_code

    sqlite_house.clock.advance(seconds=tokens["expires_in"])

    assert before == 200
    assert host.get("/items", headers=bearer(tokens)).status_code == 401
