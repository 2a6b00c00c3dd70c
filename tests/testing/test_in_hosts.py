"""The kit in the suites of hosts as they are: own users, async tests, dependency overrides."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient

from twinlock import CurrentUser, DirectoryEntry, Twinlock, User, require
from twinlock.testing import Instances, LoginAs, MovableClock

PEOPLE = {
    "alice": DirectoryEntry(id=7, username="alice", roles=("admin",)),
    "bob": DirectoryEntry(id=8, username="bob"),
}
strong = require(acr="aal2")


class Plain:
    """A directory with plain functions."""

    def find(self, login: str) -> DirectoryEntry | None:
        return PEOPLE.get(login)

    def get(self, account_id: str) -> DirectoryEntry | None:
        return next((one for one in PEOPLE.values() if one.host_id == account_id), None)


class OnOneLoop:
    """An async directory that, as a pool of connections does, belongs to the loop it met first."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._home: asyncio.AbstractEventLoop | None = None

    async def find(self, login: str) -> DirectoryEntry | None:
        await self._settle()
        return PEOPLE.get(login)

    async def get(self, account_id: str) -> DirectoryEntry | None:
        await self._settle()
        return Plain().get(account_id)

    async def _settle(self) -> None:
        self._home = self._home or asyncio.get_running_loop()
        assert self._home is asyncio.get_running_loop()


def greeting() -> str:
    return "good day"


def application(auth: Twinlock) -> FastAPI:
    app = FastAPI()
    auth.install(app)

    @app.get("/me")
    async def me(user: CurrentUser, greeted: Annotated[str, Depends(greeting)]) -> list[Any]:
        return [greeted, user.host_id, sorted(user.roles)]

    @app.get("/strong")
    async def only_strong(user: Annotated[User, strong]) -> str:
        return user.username

    return app


@pytest.fixture(params=[Plain, OnOneLoop])
def client(request: pytest.FixtureRequest, twinlock_auth: Instances) -> Iterator[TestClient]:
    auth = twinlock_auth(directory=request.param())
    with TestClient(application(auth)) as client:
        yield client


def test_a_host_s_user_is_signed_in_by_the_name_that_its_directory_knows(
    client: TestClient, login_as: LoginAs, twinlock_clock: MovableClock
) -> None:
    headers = login_as("alice")

    assert client.get("/me", headers=headers).json() == ["good day", "7", ["admin"]]
    assert client.get("/me", headers=login_as("bob")).json() == ["good day", "8", []]
    twinlock_clock.advance(minutes=9)
    assert client.get("/me", headers=headers).status_code == 200
    assert client.get("/me", headers=login_as("alice", acr="aal1")).status_code == 200


def test_nobody_is_made_in_a_host_s_table(
    client: TestClient, login_as: LoginAs, create_user: Any
) -> None:
    with pytest.raises(ValueError, match="'carol': your directory finds nobody"):
        login_as("carol")
    with pytest.raises(ValueError, match="add them to your own table"):
        create_user("carol")


async def test_an_async_test_needs_no_lifespan(twinlock_auth: Instances, login_as: LoginAs) -> None:
    transport = ASGITransport(application(twinlock_auth()))

    async with AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/strong", headers=login_as("alice"))
        nobody = await client.get("/strong")

    assert (answer.json(), nobody.status_code) == ("alice", 401)


async def test_an_async_directory_is_asked_on_the_loop_of_the_test(
    twinlock_auth: Instances, login_as: LoginAs
) -> None:
    auth = twinlock_auth(directory=OnOneLoop())
    transport = ASGITransport(application(auth))

    async with AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/me")
        headers = await asyncio.to_thread(login_as, "alice")
        answer = await client.get("/me", headers=headers)

    assert answer.json()[1] == "7"


def test_dependencies_can_be_overridden(client: TestClient, login_as: LoginAs) -> None:
    app: Any = client.app
    app.dependency_overrides[greeting] = lambda: "hello"
    somebody = client.get("/me", headers=login_as("bob")).json()
    app.dependency_overrides[strong.dependency] = lambda: type("U", (), {"username": "eve"})

    assert somebody[0] == "hello"
    assert client.get("/strong").json() == "eve"


def test_an_instance_of_the_application_keeps_its_directory(twinlock_auth: Instances) -> None:
    with pytest.raises(TypeError, match="directory and scopes"):
        twinlock_auth(twinlock_auth(), directory=Plain())
