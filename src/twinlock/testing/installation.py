"""A fresh installation for one test: settings that only tests may have, keys, a database.

Everything here refuses to work in production: its hashes are cheap, and its sign-ins take no proof.
"""

import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from twinlock.audit.events import Caller
from twinlock.config.explained import variable
from twinlock.config.settings import Settings, load_master_keys
from twinlock.core.clock import Clock
from twinlock.core.errors import ConfigurationError
from twinlock.core.keyring import Keyring
from twinlock.db.engine import Database
from twinlock.flows.installation import create_installation
from twinlock.installation.key_file import create_key_file
from twinlock.migrations.run import upgrade

OPERATOR: Final = Caller(actor="cli:tests")
"""Who makes what tests need, in the audit log."""

BASE_URL: Final = "http://localhost:8000"
_FAST_HASH: Final = {"hash_memory_kib": 64, "hash_iterations": 1, "hash_threads": 1}
_PRODUCTION: Final = "production"


def refuse_production(settings: Settings | None = None) -> None:
    """Make sure that neither *settings* nor the environment is production's.

    Raises:
        ConfigurationError: One of them is.
    """
    name = variable("environment")
    if os.environ.get(name, "").strip().lower() == _PRODUCTION:
        raise ConfigurationError(f"twinlock.testing does not work where {name} is {_PRODUCTION}")
    if settings is not None and settings.is_production:
        raise ConfigurationError("twinlock.testing does not work on an installation in production")


def make_settings(folder: Path, database_url: str, **changes: Any) -> Settings:
    """Return settings for tests: development's, on a database of their own, with a cheap hash.

    Args:
        folder: The data folder; made if it is not there.
        changes: Any settings, in place of these or of the defaults.

    Raises:
        ConfigurationError: A setting is wrong, or these are production's.
    """
    given = {
        "environment": "development",
        "data_dir": folder,
        "database_url": database_url,
        "base_url": BASE_URL,
        **_FAST_HASH,
        **changes,
    }
    if given["environment"] == _PRODUCTION:
        raise ConfigurationError("twinlock.testing makes no settings for production")
    refuse_production()
    folder.mkdir(mode=0o700, exist_ok=True)
    return Settings(**given)


def changed(settings: Settings, **changes: Any) -> Settings:
    """Return *settings* with some changed, checked again.

    Raises:
        ConfigurationError: They do not fit together, or are production's.
    """
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    fresh = Settings(**{**given, **changes})
    refuse_production(fresh)
    return fresh


def migrate(database_url: str) -> None:
    """Bring an empty database to the newest revision."""
    refuse_production()
    with closing(Database(database_url)) as database:
        upgrade(database)


def initialise(settings: Settings, *, clock: Clock) -> None:
    """Make the key file, and write the installation into its migrated database."""
    refuse_production(settings)
    create_key_file(settings.secret_keys_file)
    with closing(Database(settings.database_url, has_pooler=settings.database_pooler)) as database:
        keyring = Keyring(load_master_keys(settings))
        create_installation(database, keyring, OPERATOR, now=clock())


def copy_of(migrated: Path, folder: Path, *, clock: Clock, **changes: Any) -> Settings:
    """Return the settings of a new installation on a copy of a migrated SQLite file."""
    database = folder / "twinlock.sqlite3"
    settings = make_settings(folder, f"sqlite:///{database}", **changes)
    shutil.copyfile(migrated, database)
    initialise(settings, clock=clock)
    return settings
