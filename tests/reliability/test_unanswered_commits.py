"""The connection breaks after the server has committed, and before it says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cutting import Wire, wire_to
from tests.support.house import House, bearer, begin_login, sign_in
from tests.support.postgres import PORT, USER, PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
def wire(postgres_server: PostgresServer) -> Iterator[Wire]:
    with wire_to(postgres_server.folder / f".s.PGSQL.{PORT}") as wire:
        yield wire


@pytest.fixture
def house(
    tmp_path: Path, postgres_server: PostgresServer, migrated_postgres: str, wire: Wire
) -> Iterator[House]:
    """A house whose only way to its database is the wire."""
    name = postgres_server.create_database(template=migrated_postgres)
    yield House(tmp_path / "data", f"postgresql://{USER}@127.0.0.1:{wire.port}/{name}")
    postgres_server.drop_database(name)


@pytest.mark.parametrize("spared, again", [(0, 200), (1, 401)], ids=["counted", "spent"])
def test_an_unanswered_code_opens_one_session_at_most(
    house: House, wire: Wire, spared: int, again: int
) -> None:
    """Whether the try was counted or the code was spent: nobody is told yes, or no."""
    with house.open() as client:
        house.create()
        john = house.enroll(client)
        before = len(house.administration.find_sessions(john.account, now=house.now))
        house.clock.advance(seconds=30)
        code = john.phone.code(house.now)
        login = begin_login(client)["login"]
        wire.cut(spared=spared)

        unanswered = client.post("/api/login/totp", json={"login": login, "answer": code})
        repeated = client.post(
            "/api/login/totp", json={"login": begin_login(client)["login"], "answer": code}
        )

        account = house.account()
        after = len(house.administration.find_sessions(account, now=house.now))
        assert wire.cuts == 1
        assert unanswered.status_code == 503
        assert repeated.status_code == again
        assert after == before + 1


def test_an_unanswered_refresh_gives_its_child_when_asked_again(house: House, wire: Wire) -> None:
    with house.open() as client:
        house.create()
        tokens = sign_in(client)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        wire.cut(spared=0)

        unanswered = client.post("/token", data=form)
        child = client.post("/token", data=form)
        again = client.post("/token", data=form)

        assert wire.cuts == 1
        assert unanswered.status_code == 503
        assert child.status_code == again.status_code == 200
        assert child.json()["refresh_token"] == again.json()["refresh_token"]
        assert client.get("/users/me", headers=bearer(child.json())).status_code == 200


def test_a_connection_that_dies_before_the_commit_costs_nobody_an_answer(
    house: House, postgres_server: PostgresServer
) -> None:
    """As after a restart of the database: the transaction is repeated on a new connection."""
    with house.open() as client:
        house.create()
        sign_in(client)
        postgres_server.end_connections()

        tokens = sign_in(client)

        assert client.get("/users/me", headers=bearer(tokens)).status_code == 200
