"""A service without a database knows its users by the tokens of a login server elsewhere."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient

from tests.support.login_server import Answer, LoginServer, serving
from twinlock import CurrentUser, OptionalUser, User, require
from twinlock.api.users import api
from twinlock.core.errors import ConfigurationError
from twinlock.core.proof import Acr
from twinlock.testing.clock import MovableClock
from twinlock.tokens import Verifier
from twinlock.tokens.published_keys import MAX_AGE, SPACING
from twinlock.web.layer import ForwardAuth, GuardLayer
from twinlock.web.recognition import NotInstalledError
from twinlock.web.verifier import LEEWAY

AUDIENCE = "https://api.example.com"
LIFETIME = timedelta(minutes=10)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def server(clock: MovableClock) -> Iterator[LoginServer]:
    with serving(now=clock()) as server:
        yield server


@pytest.fixture
def verifier(server: LoginServer, clock: MovableClock) -> Verifier:
    return Verifier(issuer=server.url, clock=clock)


@pytest.fixture
def app(verifier: Verifier) -> FastAPI:
    """A service as its author writes it."""
    app = FastAPI()
    verifier.install(app)

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, object]:
        return {
            "id": user.id,
            "username": user.username,
            "email": user.email,
            "roles": sorted(user.roles),
            "scope": sorted(user.scope),
            "amr": user.amr,
        }

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> str:
        return user.id if user else "stranger"

    strong = require(acr="aal2", max_age=timedelta(minutes=5))

    @app.post("/transfer")
    async def transfer(user: Annotated[User, strong]) -> str:
        return user.id

    @app.get("/edit", dependencies=[require(role="editor", scope="items:read")])
    async def edit() -> None: ...

    return app


@pytest.fixture
def service(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_user_is_who_the_token_says(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    answer = service.get("/me", headers=bearer(server.token(now=clock())))

    assert answer.json() == {
        "id": "5" * 32,
        "username": "5" * 32,
        "email": None,
        "roles": ["editor"],
        "scope": ["items:read"],
        "amr": ["pwd", "otp", "mfa"],
    }


def test_nobody_is_nobody(service: TestClient, server: LoginServer) -> None:
    assert service.get("/me").status_code == 401
    assert service.get("/maybe").json() == "stranger"
    assert service.get("/maybe", headers=bearer("nonsense")).status_code == 401
    assert server.paths == [], "nothing was worth asking for"


def test_requirements_are_read_from_the_token(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    now = clock()
    weak = bearer(server.token(now=now, acr=Acr.AAL1, amr=("pwd",)))
    old = bearer(server.token(now=now, auth_time=now - timedelta(minutes=5) - SECOND))
    fresh = bearer(server.token(now=now, auth_time=now - timedelta(minutes=5)))

    refused = service.post("/transfer", headers=weak)

    assert refused.status_code == 401
    assert 'acr_values="aal2"' in refused.headers["www-authenticate"]
    assert service.post("/transfer", headers=old).status_code == 401
    assert service.post("/transfer", headers=fresh).status_code == 200
    assert service.get("/edit", headers=fresh).status_code == 200
    for less in ({"roles": ()}, {"scope": ()}):
        token = server.token(now=now, **less)
        assert service.get("/edit", headers=bearer(token)).status_code == 403


def test_a_token_for_another_audience_or_of_another_issuer_is_refused(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    """RFC 9068 section 4."""
    for other in ({"audience": AUDIENCE}, {"issuer": AUDIENCE}):
        token = server.token(now=clock(), **other)
        assert service.get("/me", headers=bearer(token)).status_code == 401


def test_the_audience_can_be_another(server: LoginServer, clock: MovableClock) -> None:
    app = FastAPI()
    Verifier(issuer=server.url, audience=AUDIENCE, clock=clock).install(app)

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    with TestClient(app) as client:
        ours = client.get("/me", headers=bearer(server.token(now=clock(), audience=AUDIENCE)))
        theirs = client.get("/me", headers=bearer(server.token(now=clock())))

    assert (ours.status_code, theirs.status_code) == (200, 401)


def test_a_token_is_good_until_its_end_and_the_leeway(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    headers = bearer(server.token(now=clock()))
    assert service.get("/me", headers=headers).status_code == 200

    clock.now += LIFETIME + LEEWAY - SECOND
    assert service.get("/me", headers=headers).status_code == 200
    clock.now += SECOND
    assert service.get("/me", headers=headers).status_code == 401


def test_a_token_of_a_clock_ahead_is_good_within_the_leeway(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    ahead = bearer(server.token(now=clock() + LEEWAY))
    further = bearer(server.token(now=clock() + LEEWAY + SECOND))

    assert service.get("/me", headers=ahead).status_code == 200
    assert service.get("/me", headers=further).status_code == 401


def test_a_new_key_is_known_at_once_and_its_predecessor_no_more(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    before = bearer(server.token(now=clock()))
    assert service.get("/me", headers=before).status_code == 200
    clock.now += SPACING
    server.rotate(now=clock())

    after = bearer(server.token(now=clock()))

    assert service.get("/me", headers=after).status_code == 200
    assert service.get("/me", headers=before).status_code == 401


def test_a_login_server_that_is_down_makes_the_service_unavailable(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    server.broken = Answer(status=502)
    headers = bearer(server.token(now=clock()))

    down = service.get("/me", headers=headers)

    assert (down.status_code, down.headers["retry-after"]) == (503, "2")
    assert service.get("/maybe").status_code == 200, "who brings no token needs no key"
    server.broken = None
    clock.now += SPACING
    assert service.get("/me", headers=headers).status_code == 200


def test_a_service_lives_through_an_hour_without_the_login_server(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    def ask(**said: object) -> int:
        headers = bearer(server.token(now=clock(), **said))
        return service.get("/me", headers=headers).status_code

    long = {"expires_at": clock() + timedelta(hours=2)}
    remembered = bearer(server.token(now=clock(), **long))
    assert service.get("/me", headers=remembered).status_code == 200
    server.broken = Answer(status=502)

    clock.now += MAX_AGE
    assert ask() == 200
    clock.now += SECOND
    assert ask() == 503
    assert service.get("/me", headers=remembered).status_code == 503


def test_a_token_is_verified_once(
    service: TestClient, verifier: Verifier, server: LoginServer, clock: MovableClock
) -> None:
    token = server.token(now=clock())
    assert verifier.runtime.sight.remembered(token) is None

    service.get("/me", headers=bearer(token))

    user = verifier.runtime.sight.remembered(token)
    assert user is not None
    assert verifier.runtime.sight.remembered(token) is user


async def test_many_at_once_cause_one_fetch_and_all_get_in(
    app: FastAPI, server: LoginServer, clock: MovableClock
) -> None:
    server.free.clear()
    tokens = [server.token(now=clock()) for _ in range(20)]
    async with AsyncClient(transport=ASGITransport(app), base_url="http://service") as client:
        asked = [asyncio.ensure_future(client.get("/me", headers=bearer(t))) for t in tokens]
        while not server.paths:
            await asyncio.to_thread(lambda: None)
        asked[0].cancel()  # who goes away takes nobody along
        server.free.set()

        answers = await asyncio.gather(*asked[1:])

    assert {answer.status_code for answer in answers} == {200}
    assert len(server.paths) == 1


def test_cookies_of_the_login_server_mean_nothing(
    service: TestClient, server: LoginServer, clock: MovableClock
) -> None:
    cookie = {"Cookie": "__Host-twinlock=abc"}
    headers = bearer(server.token(now=clock()))

    assert service.get("/maybe", headers=cookie).json() == "stranger"
    assert service.get("/me", headers={**headers, **cookie}).status_code == 200


def test_whole_applications_can_be_guarded(
    app: FastAPI, verifier: Verifier, server: LoginServer, clock: MovableClock
) -> None:
    inner = FastAPI()

    @inner.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    asked = ForwardAuth(GuardLayer(inner, verifier), verifier)
    cookie = {"Cookie": "__Host-twinlock=abc", "Origin": "https://elsewhere.example"}
    with TestClient(asked) as client:
        headers = bearer(server.token(now=clock()))

        assert client.get("/me").status_code == 401
        assert client.get("/me", headers=headers).json() == "5" * 32
        told = client.get("/forward-auth", headers={**headers, **cookie})
        assert (told.status_code, told.headers["remote-groups"]) == (204, "editor")


def test_authorize_leads_to_the_login_server(clock: MovableClock) -> None:
    app = FastAPI()
    Verifier(issuer="https://example.com", prefix="/auth", clock=clock).install(app)

    @app.get("/me")
    async def me(user: CurrentUser) -> None: ...

    flows = app.openapi()["components"]["securitySchemes"]["Twinlock"]["flows"]
    assert flows["password"]["tokenUrl"] == "https://example.com/auth/token"


def test_keys_without_tls_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        Verifier(issuer="http://login.example.com")


def test_our_own_routes_need_an_installation(verifier: Verifier) -> None:
    app = FastAPI()
    verifier.install(app)
    app.include_router(api)

    with pytest.raises(NotInstalledError, match="verifier"):
        TestClient(app).get("/users/me")


def test_a_service_loads_no_database() -> None:
    program = """
import sys
from fastapi import FastAPI
from twinlock import CurrentUser, require
from twinlock.tokens import Verifier
Verifier(issuer="https://login.example.com").install(FastAPI())
print(sorted({"sqlalchemy", "alembic", "httpx2", "dotenv"} & set(sys.modules)))
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
