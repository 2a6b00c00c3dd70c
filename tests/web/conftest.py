"""The same routes twice: in our server, and in a host's plain ``FastAPI()``."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from tests.support.house import BASE_URL, House
from twinlock import CurrentUser, OptionalUser, Twinlock, User, require


@dataclass
class Door:
    """An application that our routes are in, and where in it they are."""

    house: House
    client: TestClient
    prefix: str

    def path(self, path: str) -> str:
        """Return where one of our paths is."""
        return self.prefix + path

    def post(self, path: str, **kwargs: Any) -> Any:
        """Post to one of our paths."""
        return self.client.post(self.path(path), **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        """Get one of our paths."""
        return self.client.get(self.path(path), **kwargs)

    def sign_in(self, username: str, password: str) -> dict[str, str]:
        """Sign in and return the Authorization header."""
        form = {"grant_type": "password", "username": username, "password": password}
        tokens = self.post("/token", data=form).json()
        return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture(params=["server", "host"])
def door(request: pytest.FixtureRequest, sqlite_house: House) -> Iterator[Door]:
    """Our server, or a plain application that has installed us under a prefix."""
    if request.param == "server":
        with sqlite_house.open() as client:
            yield Door(sqlite_house, client, "")
        return
    app = host_app(sqlite_house)
    sqlite_house.app = app
    with TestClient(app, base_url=BASE_URL) as client:
        yield Door(sqlite_house, client, "/auth")


@pytest.fixture
def host(sqlite_house: House) -> Iterator[TestClient]:
    """A client of a plain application that has installed us at its root."""
    app = host_app(sqlite_house, prefix="")
    sqlite_house.app = app
    with TestClient(app, base_url=BASE_URL) as client:
        yield client


def host_app(house: House, *, prefix: str = "/auth") -> FastAPI:
    """Return an application as a host writes it."""
    app = FastAPI()
    auth = Twinlock(house.settings, clock=house.clock, scopes={"items:read"})
    app.state.twinlock = auth
    auth.install(app, prefix=prefix)

    @app.get("/items")
    async def read_items(user: CurrentUser) -> dict[str, str]:
        return {"owner": user.username}

    @app.post("/items")
    async def write_items(user: CurrentUser) -> dict[str, str]:
        return {"owner": user.username}

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> dict[str, str | None]:
        return {"user": user.username if user else None}

    strong = require(acr="aal2", max_age=timedelta(minutes=5))

    @app.post("/transfer")
    async def transfer(user: Annotated[User, strong]) -> dict[str, str]:
        return {"by": user.username}

    @app.get("/admin", dependencies=[require(role="admin")])
    async def administer() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/scoped", dependencies=[require(scope="items:read")])
    async def scoped() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/by-otp", dependencies=[require(amr="otp")])
    async def by_otp() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/by-two", dependencies=[require(amr="mfa")])
    async def by_two() -> dict[str, bool]:
        return {"ok": True}

    def plain(text: str) -> str:
        return text

    @app.get("/own/{text}")
    async def own(text: Annotated[str, Depends(plain)]) -> dict[str, str]:
        return {"text": text}

    return app
