"""A throwaway PostgreSQL server, as the tests have it: without flushing, outside our process."""

import contextlib
from collections.abc import Iterator

from tests.support import postgres


@contextlib.contextmanager
def postgres_url(name: str) -> Iterator[str | None]:
    """Yield the URL of an empty database, or None where no server is installed."""
    try:
        server = postgres.PostgresServer()
    except postgres.PostgresMissingError as error:
        print(f"  (without PostgreSQL: {error})")
        yield None
        return
    try:
        server.start()
        yield server.url(server.create_database())
    finally:
        server.stop()
