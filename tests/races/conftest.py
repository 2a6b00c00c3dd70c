"""The stage of every race: an installation that several processes have open."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.races.crew import Crew, Shot, Told
from tests.support.house import Enrolled, House, bearer, begin_login
from tests.support.mails import EveryMail
from tests.support.postgres import PostgresServer


@dataclass(frozen=True)
class Stage:
    """A house, our own client of it, and the crew that has it open as well."""

    house: House
    client: TestClient
    crew: Crew

    @property
    def trap(self) -> EveryMail:
        """What was mailed, whichever process delivered it."""
        return EveryMail(self.house)

    def fire(self, shots: Sequence[Shot]) -> list[Any]:
        """Make all calls at one moment; return what they returned, in their order."""
        return self.crew.fire(self.house.now, shots)

    def statuses(self, shots: Sequence[Shot]) -> list[int]:
        """Send all requests at one moment; return the answers' status codes, sorted."""
        answers: list[Told] = self.fire(shots)
        return sorted(answer.status for answer in answers)

    def code(self, owner: Enrolled) -> str:
        """Wait for the owner's next code, which nobody has used."""
        self.house.clock.advance(seconds=30)
        return owner.phone.code(self.house.now)

    def begin(self, username: str = "johndoe") -> str:
        """Take the password step and return the handle of the pending login."""
        handle: str = begin_login(self.client, username)["login"]
        return handle

    def sign_in(self, owner: Enrolled) -> dict[str, Any]:
        """Sign in with both factors and return the tokens."""
        body = {"login": self.begin(owner.account.username), "answer": self.code(owner)}
        response = self.client.post("/api/login/totp", json=body)
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens

    def is_alive(self, tokens: dict[str, Any]) -> bool:
        """Tell whether an access token opens anything."""
        return self.client.get("/users/me", headers=bearer(tokens)).status_code == 200


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    """The processes, which start once: each imports the whole application."""
    crew = Crew()
    yield crew
    crew.end()


@contextmanager
def no_deadlock(server: PostgresServer) -> Iterator[None]:
    """Nobody may wait for who waits for him: repeated, it would be right, and a second late."""
    log = server.folder / "log"
    before = log.stat().st_size
    yield
    with log.open("rb") as lines:
        lines.seek(before)
        found = lines.read().decode("utf-8", "replace")
    assert "deadlock detected" not in found, found


Open = Callable[..., Stage]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def open_stage(request: pytest.FixtureRequest, crew: Crew, tmp_path: Path) -> Iterator[Open]:
    """Opens an installation of any settings in all processes, on SQLite and on PostgreSQL."""
    with ExitStack() as running:
        if request.param == "sqlite":
            path = tmp_path / "twinlock.sqlite3"
            shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
            url = f"sqlite:///{path}"
        else:
            server = request.getfixturevalue("postgres_server")
            assert isinstance(server, PostgresServer)
            running.enter_context(no_deadlock(server))
            name = server.create_database(template=request.getfixturevalue("migrated_postgres"))
            running.callback(server.drop_database, name)
            url = server.url(name)

        def open_stage(**settings: Any) -> Stage:
            house = House(tmp_path / "data", url, **settings)
            client = running.enter_context(house.open())
            running.callback(crew.leave)
            crew.enter(tmp_path / "data", url, **settings)
            return Stage(house, client, crew)

        yield open_stage


@pytest.fixture
def stage(open_stage: Open) -> Stage:
    """An installation as it comes."""
    return open_stage()
