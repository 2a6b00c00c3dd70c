"""What every test may ask for, and what none may do: leave this machine."""

import gc
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import settings

from tests.support.home import Furnished, Home
from tests.support.house import House, migrate
from tests.support.network import forbid_outside_network
from tests.support.postgres import PostgresMissingError, PostgresServer
from twinlock.web.logging import ShortFormatter

# Timed examples fail on a busy machine. The same examples each time, so that a red build is red
# again; `HYPOTHESIS_PROFILE=search` looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("search", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# The settings of whoever runs the tests are not the tests' settings.
for name in [name for name in os.environ if name.startswith("TWINLOCK_")]:
    del os.environ[name]

POSTGRES_FIXTURES = {"postgres_server", "postgres_url", "postgres_house"}

forbid_outside_network()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have failures told with all that the log says, not with the names of events alone."""
    logging_plugin = config.pluginmanager.get_plugin("logging-plugin")
    assert logging_plugin is not None
    logging_plugin.report_handler.setFormatter(ShortFormatter())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for PostgreSQL by name, so that `make test-fast` leaves it out."""
    for item in items:
        if POSTGRES_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.postgres)


def pytest_collection_finish() -> None:
    """Keep what thousands of collected tests are out of each look for garbage: a third of the time.

    The looks are long, too: a server that is stopped for seconds refuses what it cannot decide.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on the loop that the product runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of this test process alone; `make test` fails without one, a bare pytest skips."""
    try:
        server = PostgresServer()
    except PostgresMissingError as error:
        if os.environ.get("TESTS_REQUIRE") == "all":
            pytest.fail(str(error))
        pytest.skip(str(error))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The database that every test's own is a copy of."""
    return postgres_server.create_database()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database that no other test sees."""
    name = postgres_server.create_database(template=postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database that no other test sees."""
    return f"sqlite:///{tmp_path / 'twinlock.sqlite3'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once on SQLite and once on PostgreSQL."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that every house begins as a copy of."""
    path = tmp_path_factory.mktemp("migrated") / "twinlock.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> str:
    """A migrated PostgreSQL database that every house begins as a copy of."""
    name = postgres_server.create_database()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture
def sqlite_house(tmp_path: Path, migrated_sqlite: Path) -> Iterator[House]:
    """A fresh installation on SQLite, for what no database can change."""
    path = tmp_path / "twinlock.sqlite3"
    shutil.copyfile(migrated_sqlite, path)
    house = House(tmp_path / "data", f"sqlite:///{path}")
    yield house
    house.auth.close()  # whoever looks at it after its client closed has started it again


@pytest.fixture
def postgres_house(
    tmp_path: Path, postgres_server: PostgresServer, migrated_postgres: str
) -> Iterator[House]:
    """A fresh installation on PostgreSQL."""
    name = postgres_server.create_database(template=migrated_postgres)
    house = House(tmp_path / "data", postgres_server.url(name))
    yield house
    house.auth.close()  # as above
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest) -> House:
    """A fresh installation, once on SQLite and once on PostgreSQL."""
    made = request.getfixturevalue(f"{request.param}_house")
    assert isinstance(made, House)
    return made


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    """A client of the running login server of `house`."""
    with house.open() as opened:
        yield opened


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Furnished:
    """What every `home` is a copy of."""
    return Furnished.make(tmp_path_factory.mktemp("furnished"), migrated_sqlite)


@pytest.fixture
def settle(tmp_path: Path, furnished: Furnished) -> Iterator[Callable[..., Home]]:
    """Gives running homes of any settings: a call is a home of its own."""
    numbers = itertools.count()
    with ExitStack() as running:

        def settle(**settings: object) -> Home:
            house, john = furnished.copy(tmp_path / f"home-{next(numbers)}", **settings)
            return Home(house, running.enter_context(house.open()), john)

        yield settle


@pytest.fixture
def home(settle: Callable[..., Home]) -> Home:
    """A running installation on SQLite in which johndoe has an authenticator app."""
    return settle()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, furnished: Furnished) -> Iterator[Home]:
    """A home that all tests of a module share, and that none of them changes."""
    house, john = furnished.copy(tmp_path_factory.mktemp("standing"))
    with house.open() as client:
        yield Home(house, client, john)
