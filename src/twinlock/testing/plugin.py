"""The pytest plugin: what the test suite of an application that uses Twinlock may ask for.

pytest loads it wherever Twinlock is installed, so that everything else is imported only when
a test asks for a fixture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from twinlock.config.settings import Settings
    from twinlock.testing.clock import MovableClock
    from twinlock.testing.instances import Instances
    from twinlock.testing.mail import MailTrap
    from twinlock.testing.people import CreateUser, LoginAs


@pytest.fixture
def twinlock_clock() -> "MovableClock":
    """Return a clock that stands still until the test moves it."""
    from twinlock.testing.clock import MovableClock

    return MovableClock()


@pytest.fixture(scope="session")
def twinlock_migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a migrated SQLite file, of which every installation begins as a copy."""
    from twinlock.testing.installation import migrate

    path = tmp_path_factory.mktemp("twinlock") / "twinlock.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def twinlock_folder(tmp_path: Path) -> Iterator[Path]:
    """Make the data folder of this test: in memory where the system allows it."""
    from twinlock.testing.memory import folder_in_memory

    with folder_in_memory(otherwise=tmp_path / "twinlock") as folder:
        yield folder


@pytest.fixture
def twinlock_settings(
    twinlock_folder: Path, twinlock_migrated: Path, twinlock_clock: "MovableClock"
) -> "Settings":
    """Return the settings of an installation that this test has for itself."""
    from twinlock.testing.installation import copy_of

    return copy_of(twinlock_migrated, twinlock_folder, clock=twinlock_clock)


@pytest.fixture
def twinlock_auth(
    twinlock_settings: "Settings", twinlock_clock: "MovableClock"
) -> Iterator["Instances"]:
    """Give a `Twinlock` on the test's installation, or move the application's own there."""
    from twinlock.testing.instances import Instances

    instances = Instances(twinlock_settings, twinlock_clock)
    yield instances
    instances.close()


@pytest.fixture
def login_as(twinlock_auth: "Instances") -> "LoginAs":
    """Give the headers of a client that is signed in as somebody, as strongly as wanted."""
    from twinlock.testing.people import LoginAs

    return LoginAs(twinlock_auth.newest)


@pytest.fixture
def mail_trap(twinlock_auth: "Instances") -> "MailTrap":
    """Read what the application has mailed, and the links in it."""
    from twinlock.testing.mail import MailTrap

    return MailTrap(twinlock_auth.newest)


@pytest.fixture
def create_user(twinlock_auth: "Instances") -> "CreateUser":
    """Make accounts: ``create_user("alice", password=…, roles=("editor",))``."""
    from twinlock.testing.people import CreateUser

    return CreateUser(twinlock_auth.newest)
