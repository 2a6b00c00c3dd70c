"""A throwaway PostgreSQL server, as the tests have it: without flushing, outside our process."""

import contextlib
from collections.abc import Iterator, Mapping

import psycopg

from benchmarks.processes import cpu_seconds
from tests.support import postgres

ROOMY = {
    "shared_buffers": "512MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
"""What a server with millions of rows is given."""


@contextlib.contextmanager
def postgres_url(name: str, options: Mapping[str, str] | None = None) -> Iterator[str | None]:
    """Yield the URL of an empty database, or None where no server is installed."""
    try:
        server = postgres.PostgresServer(options=options)
    except postgres.PostgresMissingError as error:
        print(f"  (without PostgreSQL: {error})")
        yield None
        return
    try:
        server.start()
        yield server.url(server.create_database())
    finally:
        server.stop()


def plain(url: str) -> str:
    """Return the URL as libpq reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


class Backends:
    """The server processes of PostgreSQL that work for one database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(plain(url), autocommit=True)

    def cpu_seconds(self) -> float:
        """Return the CPU time of those that run now, our own left out."""
        found = self._connection.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        )
        seconds = 0.0
        for (pid,) in found.fetchall():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                seconds += cpu_seconds(pid)
        return seconds

    def pages(self) -> int:
        """Return how many pages of the database they have looked at, as they told by now."""
        row = self._connection.execute(
            "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        self._connection.close()
