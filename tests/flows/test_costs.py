"""What a login costs in statements, transactions, hashes and thread hops: counts, no times."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from tests.support.house import PASSWORD, Enrolled, House, bearer, begin_login, sign_in
from twinlock.web.hash_pool import Place
from twinlock.web.work import Workers


@dataclass
class Costs:
    """What was used since the last `forget`."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0
    hops: int = 0
    hashes: int = 0

    def forget(self) -> None:
        self.statements.clear()
        self.commits = self.hops = self.hashes = 0


@pytest.fixture
def enrolled(house: House, client: TestClient) -> Enrolled:
    """Somebody with TOTP who has signed in from here before, as most do."""
    house.create()
    enrolled = house.enroll(client)
    sign_in_at_token(house, client, enrolled)
    return enrolled


@pytest.fixture
def costs(house: House, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch) -> Iterator[Costs]:
    house.runtime.sight.close()  # the poll's statements are nobody's request
    costs = Costs()

    def is_flows() -> bool:
        return threading.current_thread().name.startswith("twinlock-db")  # upkeep has its own

    def note_statement(*arguments: Any) -> None:
        if is_flows():
            costs.statements.append(arguments[2])

    def note_commit(connection: object) -> None:
        costs.commits += is_flows()

    def counted(run: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def count(self: object, *arguments: Any, **options: Any) -> Any:
            setattr(costs, name, getattr(costs, name) + 1)
            return await run(self, *arguments, **options)

        return count

    monkeypatch.setattr(Workers, "run", counted(Workers.run, "hops"))
    monkeypatch.setattr(Place, "run", counted(Place.run, "hashes"))
    engine = house.database.engine
    event.listen(engine, "before_cursor_execute", note_statement)
    event.listen(engine, "commit", note_commit)
    yield costs
    event.remove(engine, "before_cursor_execute", note_statement)
    event.remove(engine, "commit", note_commit)


def sign_in_at_token(house: House, client: TestClient, enrolled: Enrolled) -> dict[str, Any]:
    house.clock.advance(seconds=30)
    return sign_in(client, password=PASSWORD + enrolled.phone.code(house.now))


def test_a_login_at_the_token_endpoint(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    sign_in_at_token(house, client, enrolled)

    # Look up with the password's count, the code's own count, and the decision: three commits.
    assert (costs.hashes, costs.hops, costs.commits) == (1, 2, 3)
    assert len(costs.statements) <= 18, "\n".join(costs.statements)


def test_a_login_in_two_steps(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    house.clock.advance(seconds=30)

    login = begin_login(client)["login"]

    assert (costs.hashes, costs.hops, costs.commits) == (1, 2, 2)
    assert len(costs.statements) <= 12, "\n".join(costs.statements)
    costs.forget()

    answer = {"login": login, "answer": enrolled.phone.code(house.now)}
    assert client.post("/api/login/totp", json=answer).status_code == 200

    assert (costs.hashes, costs.hops, costs.commits) == (0, 1, 2)
    assert len(costs.statements) <= 16, "\n".join(costs.statements)


def test_a_wrong_password_and_an_unknown_name_cost_the_same(
    client: TestClient, costs: Costs
) -> None:
    found = []
    for name in ("johndoe", "nobody"):
        costs.forget()
        client.post("/api/login", json={"username": name, "password": "not the right password"})
        found.append((costs.hashes, costs.hops, costs.commits, len(costs.statements)))

    known, unknown = found
    assert known[:3] == unknown[:3] == (1, 2, 2)
    assert abs(known[3] - unknown[3]) <= 1  # a stranger's third count


def test_a_signed_in_request_costs_no_statement_and_no_hop(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    headers = bearer(sign_in_at_token(house, client, enrolled))
    assert client.get("/users/me", headers=headers).status_code == 200
    costs.forget()

    for _ in range(3):
        assert client.get("/users/me", headers=headers).status_code == 200

    assert (costs.statements, costs.commits, costs.hops, costs.hashes) == ([], 0, 0, 0)


def test_a_revoked_token_is_rarely_looked_at(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    """A refusal is remembered for a second, in which one client repeats itself many times."""
    headers = bearer(sign_in_at_token(house, client, enrolled))
    assert client.post("/api/logout", headers=headers).status_code == 204
    costs.forget()

    for _ in range(50):
        assert client.get("/users/me", headers=headers).status_code == 401

    assert 0 < costs.hops <= 25


def test_who_finds_no_place_in_the_queue_is_counted_nowhere(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    """Overload must lock nobody out: the place is taken before anything is counted."""
    headers = bearer(sign_in_at_token(house, client, enrolled))
    begun = client.post("/api/reauthenticate", json={}, headers=headers)
    costs.forget()

    with contextlib.ExitStack() as places:
        for _ in range(house.runtime.hash_pool.places):
            places.enter_context(house.runtime.hash_pool.place())
        answers = [
            client.post("/api/login", json={"username": "johndoe", "password": "wrong"}),
            client.post(
                "/token", data={"grant_type": "password", "username": "johndoe", "password": "x"}
            ),
            client.post(
                "/api/account/password",
                json={"current_password": PASSWORD, "new_password": "a new and longer one"},
                headers=headers,
            ),
        ]

    assert begun.status_code == 200
    assert [(one.status_code, one.headers["retry-after"]) for one in answers] == [(503, "2")] * 3
    assert (costs.commits, costs.hops) == (0, 0)


def test_a_forged_token_costs_no_hop(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    """Whoever invents tokens keeps none of the threads busy that sign others in."""
    head, payload, _ = sign_in_at_token(house, client, enrolled)["access_token"].split(".")
    costs.forget()

    for number in range(20):
        forged = {"Authorization": f"Bearer {head}.{payload}.{str(number) * 86}"[:2000]}
        assert client.get("/users/me", headers=forged).status_code == 401
    too_long = {"Authorization": "Bearer " + "x" * 9000}
    assert client.get("/users/me", headers=too_long).status_code == 401

    assert (costs.statements, costs.hops) == ([], 0)
