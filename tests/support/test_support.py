"""The tests' own tools do what the other tests rely on."""

import socket

import pytest
import sqlalchemy as sa

from tests.support.network import OutsideNetworkError, is_local
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.7", "2001:db8::1"])
def test_no_test_connects_to_another_machine(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as outside, pytest.raises(OutsideNetworkError):
        outside.connect((address, 443))


def test_no_test_looks_up_another_machine() -> None:
    with pytest.raises(OutsideNetworkError):
        socket.getaddrinfo("example.com", 443)


@pytest.mark.parametrize(
    "host, expected",
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("localhost", True),
        (None, True),
        ("128.0.0.1", False),
        ("0.0.0.1", False),
        ("localhost.example.com", False),
        (b"example.com", False),
    ],
)
def test_only_this_machine_is_local(host: object, expected: bool) -> None:
    assert is_local(host) is expected


def test_this_machine_can_be_reached() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("round_", [1, 2])
def test_every_test_finds_an_empty_database(database_url: str, round_: int) -> None:
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        tables = sa.inspect(connection).get_table_names()
        connection.execute(sa.text(f"create table seen_in_round_{round_} (id integer)"))
    engine.dispose()

    assert tables == []


def test_a_database_is_a_copy_of_its_template(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    engine = sa.create_engine(postgres_server.url(template))
    with engine.begin() as connection:
        connection.execute(sa.text("create table kept (id integer)"))
    engine.dispose()

    copy = postgres_server.create_database(template=template)

    engine = sa.create_engine(postgres_server.url(copy))
    assert sa.inspect(engine).get_table_names() == ["kept"]
    engine.dispose()
    postgres_server.drop_database(copy)
    postgres_server.drop_database(template)
