"""Before the application is imported: tests have a table of people of their own."""

import os
import tempfile

folder = tempfile.TemporaryDirectory()
os.environ["PEOPLE_URL"] = f"sqlite:///{folder.name}/people.sqlite3"
os.environ["TWINLOCK_ENVIRONMENT"] = "development"


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    folder.cleanup()
