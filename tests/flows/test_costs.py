"""What a login costs in statements, transactions, hashes and thread hops: counts, no times."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from tests.support.house import (
    OPERATOR,
    PASSWORD,
    Enrolled,
    House,
    bearer,
    begin_login,
    sign_in,
)
from twinlock.db.engine import Database
from twinlock.testing.authenticator import FakeAuthenticator
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

    def note_statement(*arguments: Any) -> None:
        if is_flows.get():
            costs.statements.append(arguments[2])

    def counting_commits(run: Callable[..., Any]) -> Callable[..., Any]:
        def count(self: Database, *arguments: Any, **options: Any) -> Any:
            done = run(self, *arguments, **options)
            costs.commits += is_flows.get()
            return done

        return count

    def counted(run: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def count(
            self: object, work: Callable[..., Any], *arguments: Any, **options: Any
        ) -> Any:
            setattr(costs, name, getattr(costs, name) + 1)
            return await run(self, _as_a_flow(work), *arguments, **options)

        return count

    monkeypatch.setattr(Workers, "run", counted(Workers.run, "hops"))
    monkeypatch.setattr(Place, "run", counted(Place.run, "hashes"))
    monkeypatch.setattr(Database, "_run_writing", counting_commits(Database._run_writing))
    engine = house.database.engine
    event.listen(engine, "before_cursor_execute", note_statement)
    yield costs
    event.remove(engine, "before_cursor_execute", note_statement)


is_flows = contextvars.ContextVar("is_flows", default=False)
"""Whose statements run: by their thread it cannot be told, as threads write for each other."""


def _as_a_flow(work: Callable[..., Any]) -> Callable[..., Any]:
    def marked(*arguments: Any, **options: Any) -> Any:
        before = is_flows.set(True)
        try:
            return work(*arguments, **options)
        finally:
            is_flows.reset(before)

    return marked


def sign_in_at_token(house: House, client: TestClient, enrolled: Enrolled) -> dict[str, Any]:
    house.clock.advance(seconds=30)
    return sign_in(client, password=PASSWORD + enrolled.phone.code(house.now))


def test_a_login_at_the_token_endpoint(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    sign_in_at_token(house, client, enrolled)

    # Look up with the password's count, the code's own count, and the decision: three commits.
    assert (costs.hashes, costs.hops, costs.commits) == (1, 2, 3)
    assert len(costs.statements) <= 19, "\n".join(costs.statements)


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
    assert len(costs.statements) <= 17, "\n".join(costs.statements)


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

    assert costs.hops <= 25
    assert costs.hops > 0 or house.database.is_sqlite  # which reads without a hop


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
            client.post("/api/login", content=b"{ not read at all"),
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
    assert [(one.status_code, one.headers["retry-after"]) for one in answers] == [(503, "2")] * 4
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


def refuse_passkey(client: TestClient, device: FakeAuthenticator, costs: Costs) -> list[str]:
    """Answer with a device's last passkey, for another site, and return what that cost."""
    begun = client.post("/api/passkey/begin", json={}).json()
    answer = device.sign(
        device.passkeys[-1], begun["options"]["challenge"], origin="https://x.test"
    )
    costs.forget()

    body = {"login": begun["login"], "answer": answer}
    assert client.post("/api/passkey/finish", json=body).status_code == 401

    assert (costs.hashes, costs.hops) == (0, 1)
    return [shape(one) for one in costs.statements] + ["COMMIT"] * costs.commits


def shape(statement: str) -> str:
    return statement.partition("VALUES")[0]


def stranger() -> FakeAuthenticator:
    """Return a device whose passkey was made at a site of the same name, and is not here."""
    device = FakeAuthenticator()
    options: dict[str, Any] = {
        "rp": {"id": "localhost", "name": "x"},
        "user": {"id": "AAAA", "name": "x"},
        "challenge": "AAAA",
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
        "excludeCredentials": [],
    }
    device.create(options)
    return device


def test_a_passkey_that_nobody_has_costs_what_a_wrong_one_costs(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    """Else time told which credentials exist, and to whom they lead."""
    mine, nobodys = FakeAuthenticator(), stranger()
    house.enroll_passkey(client, mine, sign_in_at_token(house, client, enrolled))
    refuse_passkey(client, nobodys, costs)  # what is prepared once

    wrong = refuse_passkey(client, mine, costs)
    unknown = refuse_passkey(client, nobodys, costs)
    assert wrong == unknown
    assert wrong.count("COMMIT") == 3

    for _ in range(4):
        refuse_passkey(client, mine, costs)
        refuse_passkey(client, nobodys, costs)
    full = refuse_passkey(client, mine, costs)
    assert full == refuse_passkey(client, nobodys, costs)
    assert full.count("COMMIT") == 2

    house.clock.advance(minutes=6)
    house.administration.disable(house.account(), OPERATOR, now=house.now)
    assert refuse_passkey(client, mine, costs) == wrong


def test_another_account_s_passkey_costs_what_a_wrong_one_costs(
    house: House, client: TestClient, enrolled: Enrolled, costs: Costs
) -> None:
    mine, nobodys = FakeAuthenticator(), stranger()
    house.enroll_passkey(client, mine, sign_in_at_token(house, client, enrolled))

    def refuse(device: FakeAuthenticator) -> tuple[list[str], int]:
        begun = begin_login(client)
        [options] = [one["options"] for one in begun["methods"] if one["method"] == "passkey"]
        origin = "https://x.test"
        answer = device.sign(device.passkeys[-1], options["challenge"], origin=origin)
        costs.forget()
        body = {"login": begun["login"], "answer": answer}
        assert client.post("/api/login/passkey", json=body).status_code == 401
        return [shape(one) for one in costs.statements], costs.commits

    refuse(mine)
    refuse(nobodys)
    assert refuse(mine) == refuse(nobodys)
