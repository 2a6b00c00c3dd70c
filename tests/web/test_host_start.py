"""An application whose database is not ready does not start, and says the command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.support.house import BASE_URL, House
from twinlock import InstallationError, Settings, Twinlock
from twinlock.db.engine import Database
from twinlock.migrations.run import downgrade


def application(settings: Settings) -> FastAPI:
    app = FastAPI()
    Twinlock(settings).install(app)
    return app


def test_without_an_installation_it_names_the_command_and_makes_nothing(tmp_path: Path) -> None:
    app = application(Settings(environment="development", data_dir=tmp_path / "none"))

    with pytest.raises(InstallationError, match="twinlock init"), TestClient(app):
        pass

    assert list(tmp_path.iterdir()) == []


def test_on_an_older_database_it_names_the_command_that_makes_it_start(
    sqlite_house: House,
) -> None:
    settings = sqlite_house.settings
    database = Database(settings.database_url)
    downgrade(database, to="0012")
    database.close()
    environ = {
        "PATH": os.environ["PATH"],
        "TWINLOCK_ENVIRONMENT": "development",
        "TWINLOCK_DATA_DIR": str(settings.data_dir),
        "TWINLOCK_DATABASE_URL": settings.database_url,
    }

    with (
        pytest.raises(InstallationError, match="twinlock db upgrade"),
        TestClient(application(settings)),
    ):
        pass
    command = [sys.executable, "-m", "twinlock", "db", "upgrade"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    with TestClient(application(settings), base_url=BASE_URL) as client:
        assert client.get("/readyz").status_code == 200
