"""Installations of some size, which can be copied, filled, served and watched."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field

import psycopg
from sqlalchemy.engine import make_url

from benchmarks import filling, installation
from benchmarks.filling import Sizes
from benchmarks.installation import Installation
from benchmarks.postgres import Backends, plain
from benchmarks.processes import SCRATCH, Server, serve


@dataclass(slots=True)
class House:
    """An installation of some size, served."""

    where: Installation
    url: str
    server: Server
    backends: Backends | None
    tokens: list[tuple[str, str]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def cpu_seconds(self) -> float:
        """Return what the server and its part of the database have used."""
        database = 0.0 if self.backends is None else self.backends.cpu_seconds()
        return self.server.cpu_seconds() + database

    def pages(self) -> int:
        """Return how many pages it has looked at: on SQLite those that it read from the file."""
        return self.server.reads() if self.backends is None else self.backends.pages()


class Built:
    """An installation that can be copied while nobody serves it."""

    def __init__(
        self,
        stack: ExitStack,
        name: str,
        url: str | None,
        *,
        accounts: int = 0,
        where: Installation | None = None,
    ) -> None:
        """Make an installation of so many accounts, or take one that is there."""
        self._stack = stack
        self._name = name
        self._folder = SCRATCH / f"p6-{name.lower()}"
        self._url = url or f"sqlite:///{self._folder / 'twinlock.sqlite3'}"
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._where = where or installation.create(
            self._folder, accounts=accounts, profile=installation.TOY, database_url=url
        )

    def copied(self, name: str) -> "Built":
        """Return a copy: the same keys, the same people, a database of its own."""
        folder = SCRATCH / f"p6-{self._name.lower().partition('-')[0]}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folder, folder)
        environment = self._where.environment | {"TWINLOCK_DATA_DIR": str(folder)}
        url = None
        if "TWINLOCK_DATABASE_URL" in environment:
            url = _copy_of(self._url, f"p6_{name}")
            environment["TWINLOCK_DATABASE_URL"] = url
        where = Installation(environment, deepcopy(self._where.people))
        return Built(self._stack, folder.name.removeprefix("p6-"), url, where=where)

    def filled(self, present: Sizes, wanted: Sizes) -> "Built":
        """Fill it and return it."""
        filling.fill(self._url, present, wanted)
        return self

    def served(self) -> House:
        """Return it, with a server of its own."""
        server = self._stack.enter_context(
            serve(
                "twinlock.login_server:create_app",
                name=f"p6-{self._name.lower()}",
                environment={**self._where.environment, "TWINLOCK_TRUSTED_PROXIES": "127.0.0.1"},
                is_factory=True,
            )
        )
        backends = None
        if not self._url.startswith("sqlite"):
            backends = Backends(self._url)
            self._stack.callback(backends.close)
        return House(self._where, self._url, server, backends)


def _copy_of(url: str, name: str) -> str:
    """Make a copy of a database that nobody uses, on the same server."""
    source = make_url(url)
    with psycopg.connect(
        plain(url.replace(f"/{source.database}", "/postgres")), autocommit=True
    ) as one:
        one.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source.database}"'.encode())
    return source.set(database=name).render_as_string(hide_password=False)
