"""The kit that users' own suites get: fresh installations, a clock to move, sign-ins at will."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from twinlock import CurrentUser, Settings, Twinlock, User, require
from twinlock.accounts.directory import Account
from twinlock.core.errors import ConfigurationError
from twinlock.testing import FakeAuthenticator, Instances, LoginAs, MovableClock
from twinlock.testing.installation import changed, copy_of, make_settings, migrate
from twinlock.testing.memory import folder_in_memory

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery staple"


def application(auth: Twinlock) -> FastAPI:
    """Return an application as a user writes it."""
    app = FastAPI()
    auth.install(app)

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, object]:
        return {"name": user.username, "acr": user.acr, "amr": user.amr, "roles": list(user.roles)}

    strong = require(acr="aal2", max_age=timedelta(minutes=5))

    @app.post("/transfer")
    async def transfer(user: Annotated[User, strong]) -> None: ...

    @app.get("/scoped", dependencies=[require(scope="items:read")])
    async def scoped() -> None: ...

    return app


@pytest.fixture
def client(twinlock_auth: Instances) -> Iterator[TestClient]:
    with TestClient(application(twinlock_auth(scopes=["items:read"]))) as client:
        yield client


@pytest.mark.parametrize(
    "acr, amr",
    [
        ("aal1", ["pwd"]),
        ("aal2", ["pwd", "otp", "mfa"]),
        ("phr", ["pwd", "hwk", "mfa"]),
    ],
)
def test_a_sign_in_proves_what_the_test_says(
    client: TestClient, login_as: LoginAs, acr: str, amr: list[str]
) -> None:
    answer = client.get("/me", headers=login_as("alice", acr))

    assert answer.json() == {"name": "alice", "acr": acr, "amr": amr, "roles": []}


def test_a_sign_in_has_two_factors_unless_the_test_says_else(
    client: TestClient, login_as: LoginAs
) -> None:
    assert client.post("/transfer", headers=login_as("alice")).status_code == 200
    assert client.post("/transfer", headers=login_as("alice", acr="aal1")).status_code == 401


def test_what_was_proven_and_when_can_be_chosen(
    client: TestClient, login_as: LoginAs, twinlock_clock: MovableClock
) -> None:
    long_ago = twinlock_clock() - timedelta(minutes=6)

    by_recovery_code = login_as("alice", amr=["pwd", "mfa"], auth_time=long_ago)

    assert client.get("/me", headers=by_recovery_code).json()["amr"] == ["pwd", "mfa"]
    assert client.post("/transfer", headers=by_recovery_code).status_code == 401
    assert client.get("/scoped", headers=by_recovery_code).status_code == 403
    assert client.get("/scoped", headers=login_as("alice", scope=["items:read"])).is_success


def test_the_clock_is_the_tests(
    client: TestClient, login_as: LoginAs, twinlock_clock: MovableClock
) -> None:
    headers = login_as("alice")

    twinlock_clock.advance(minutes=5)
    assert client.post("/transfer", headers=headers).status_code == 200
    twinlock_clock.advance(seconds=1)
    assert client.post("/transfer", headers=headers).status_code == 401
    twinlock_clock.advance(minutes=5)
    assert client.get("/me", headers=headers).status_code == 401


def test_a_session_of_the_kit_ends_as_any_other(client: TestClient, login_as: LoginAs) -> None:
    headers = login_as("alice")
    assert len(client.get("/api/sessions", headers=headers).json()["sessions"]) == 1

    client.post("/api/logout", headers=headers)

    assert client.get("/me", headers=headers).status_code == 401


def test_an_account_of_the_kit_signs_in_by_password_and_phone(
    client: TestClient,
    create_user: Callable[..., Account],
    login_as: LoginAs,
    twinlock_clock: MovableClock,
) -> None:
    alice = create_user("alice", password=PASSWORD, roles=("editor",))
    headers = login_as(alice)
    begun = client.post("/api/factors/totp", json={}, headers=headers).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(twinlock_clock())}
    client.post("/api/factors/totp/confirm", json=answer, headers=headers)
    twinlock_clock.advance(seconds=30)

    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    code = phone.code(twinlock_clock())
    signed_in = client.post("/token", data={**form, "otp": code})

    assert signed_in.status_code == 200, signed_in.text
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    assert client.get("/me", headers=headers).json()["roles"] == ["editor"]
    changed_since = login_as(alice)
    assert client.get("/me", headers=changed_since).status_code == 200


def test_an_account_that_cannot_be_is_told(
    client: TestClient, create_user: Callable[..., Account]
) -> None:
    create_user("alice")

    with pytest.raises(ValueError, match="Another account"):
        create_user("Alice")


def test_every_test_begins_with_nobody(
    client: TestClient, create_user: Callable[..., Account]
) -> None:
    create_user("alice")


def test_every_test_begins_with_nobody_again(
    client: TestClient, create_user: Callable[..., Account]
) -> None:
    create_user("alice")


def test_the_applications_own_instance_is_moved_and_given_back(
    twinlock_settings: Settings, twinlock_clock: MovableClock, tmp_path: Path
) -> None:
    own_settings = Settings(environment="development", data_dir=tmp_path / "elsewhere")
    own = Twinlock(own_settings)
    app = application(own)
    instances = Instances(twinlock_settings, twinlock_clock)
    login_as = LoginAs(instances.newest)

    assert instances(own) is own
    with TestClient(app) as client:
        assert client.get("/me", headers=login_as("alice")).json()["name"] == "alice"
    instances.close()

    assert own.settings is own_settings
    with pytest.raises(Exception, match="init"):
        own.start()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory here")
def test_the_database_is_kept_in_memory(twinlock_auth: Instances, login_as: LoginAs) -> None:
    login_as("alice")

    folder = twinlock_auth.newest().settings.data_dir
    assert folder.is_relative_to("/dev/shm")
    assert (folder / "twinlock.sqlite3").exists()
    assert folder.stat().st_mode & 0o077 == 0


def test_what_was_in_memory_is_gone_after_the_test(tmp_path: Path) -> None:
    with (
        contextlib.suppress(ZeroDivisionError),
        folder_in_memory(otherwise=tmp_path, memory=tmp_path) as folder,
    ):
        (folder / "file").touch()
        assert folder.parent == tmp_path
        raise ZeroDivisionError

    assert not folder.exists()


def test_without_memory_to_spare_the_folder_is_the_other_one(tmp_path: Path) -> None:
    other = tmp_path / "other"

    with folder_in_memory(otherwise=other, memory=tmp_path / "missing") as folder:
        assert folder == other
        assert folder.stat().st_mode & 0o077 == 0
    assert other.exists()


def test_settings_can_be_others(twinlock_auth: Instances) -> None:
    auth = twinlock_auth(access_token_lifetime=timedelta(minutes=1))

    assert auth.settings.access_token_lifetime == timedelta(minutes=1)
    with pytest.raises(ConfigurationError, match="should be"):
        twinlock_auth(port=0)


def in_production(settings: Settings) -> Settings:
    """Return settings that the kit would not make."""
    return settings.model_copy(update={"environment": "production"})


def test_the_kit_refuses_production_settings(
    twinlock_settings: Settings,
    twinlock_clock: MovableClock,
    twinlock_migrated: Path,
    tmp_path: Path,
) -> None:
    production = in_production(twinlock_settings)
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"

    with pytest.raises(ConfigurationError, match="production"):
        make_settings(tmp_path, url, environment="production")
    with pytest.raises(ConfigurationError, match="production"):
        copy_of(twinlock_migrated, tmp_path, clock=twinlock_clock, environment="production")
    with pytest.raises(ConfigurationError, match="production"):
        changed(twinlock_settings, environment="production", base_url="https://x.example")
    with pytest.raises(ConfigurationError, match="production"):
        Instances(production, twinlock_clock)
    with pytest.raises(ConfigurationError, match="production"):
        LoginAs(lambda: Twinlock(production))("alice")


@pytest.mark.parametrize("value", ["production", "Production ", "PRODUCTION"])
def test_the_kit_refuses_where_the_environment_is_production(
    twinlock_settings: Settings,
    twinlock_clock: MovableClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
) -> None:
    instances = Instances(twinlock_settings, twinlock_clock)
    login_as = LoginAs(instances.newest)
    instances()
    monkeypatch.setenv("TWINLOCK_ENVIRONMENT", value)

    with pytest.raises(ConfigurationError, match="TWINLOCK_ENVIRONMENT"):
        migrate(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    with pytest.raises(ConfigurationError, match="TWINLOCK_ENVIRONMENT"):
        make_settings(tmp_path, f"sqlite:///{tmp_path / 'x.sqlite3'}")
    with pytest.raises(ConfigurationError, match="TWINLOCK_ENVIRONMENT"):
        Instances(twinlock_settings, twinlock_clock)
    with pytest.raises(ConfigurationError, match="TWINLOCK_ENVIRONMENT"):
        login_as("alice")


def loaded(program: str) -> list[str]:
    """Return which modules of ours a program has loaded at its end."""
    told = "import sys; print(*[m for m in sys.modules if m.startswith('twinlock')])"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{told}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_program_never_loads_the_kit() -> None:
    """Whatever the server, the command line and the library import (security page, 10)."""
    modules = sorted(
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for path in (ROOT / "src" / "twinlock").rglob("*.py")
        if "testing" not in path.parts and "migrations" not in path.parts
    )
    imports = "\n".join(f"import {name.removesuffix('.__init__')}" for name in modules)

    found = loaded(imports.replace("import twinlock.__main__\n", ""))

    assert "twinlock.app" in found
    assert [name for name in found if name.startswith("twinlock.testing")] == []


def test_the_plugin_loads_nothing_before_a_test_asks() -> None:
    assert loaded("import twinlock.testing.plugin") == [
        "twinlock",
        "twinlock.testing",
        "twinlock.testing.plugin",
    ]
