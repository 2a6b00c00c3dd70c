"""A throwaway PostgreSQL server for the tests; scripts/system.py is what installs one."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from scripts.system import postgres_programs

USER = "twinlock"
PORT = 5432  # names the socket file in the server's own folder; no TCP port is opened
FAST_AND_FORGETFUL = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
}


class PostgresMissingError(Exception):
    """No PostgreSQL server programs are installed, or nobody may run them."""


DURABLE = {"synchronous_commit": "on", "full_page_writes": "on"}
"""What was committed is there after the server was killed. (Not after the machine was.)"""


class PostgresServer:
    """A server in a temporary folder, reached through a socket that lies in the same folder."""

    def __init__(
        self,
        *,
        port: int = PORT,
        options: Mapping[str, str] | None = None,
        place: Path = Path("/tmp"),
    ) -> None:
        """Prepare a server.

        Args:
            place: Where its folder is made; a short path.
            port: Names the socket, and is listened on where *options* name `listen_addresses`.
            options: What is set otherwise than `FAST_AND_FORGETFUL` does.
        """
        programs = postgres_programs()
        if programs is None:
            msg = "no PostgreSQL server programs found; `make test` installs them"
            raise PostgresMissingError(msg)
        self._programs = programs
        self.port = port
        self._options = {**FAST_AND_FORGETFUL, **(options or {})}
        # Not pytest's own folder: the path of a socket must be short, and the user that owns the
        # server must be able to reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="twinlock-pg-", dir=place))
        self._numbers = itertools.count(1)
        self._data = self.folder / "data"

    def start(self) -> None:
        """Create the cluster and wait until it answers."""
        if os.geteuid() == 0:
            self._give_folder_away()
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8",
                  "--no-locale", "--no-sync")  # fmt: skip
        self.resume()

    def resume(self) -> None:
        """Start the cluster that is there, and wait until it answers."""
        options = " ".join(f"-c {name}='{value}'" for name, value in self._options.items())
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self._data, "-w", "-s", "-l", log,
                  "-o", f"-p {self.port} -k {self.folder} {options}", "start")  # fmt: skip

    def halt(self) -> None:
        """Stop at once, as a crash would; what was committed stays."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "-s", "stop")

    def stop(self) -> None:
        """Stop at once and leave nothing behind."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of *database*."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}&port={self.port}"

    def create_database(self, template: str = "template1") -> str:
        """Return the name of a new database, a copy of *template*, which nobody may be using."""
        name = f"test_{next(self._numbers)}"
        self._administer("create database {} template {}", name, template)
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._administer("drop database {} with (force)", name)

    def replica(self) -> "PostgresServer":
        """Return a copy that follows this server when it is resumed."""
        copy = PostgresServer(port=self.port, options=self._options)
        if os.geteuid() == 0:
            copy._give_folder_away()
        self._run("pg_basebackup", "-D", copy._data, "-h", self.folder, "-p", str(self.port),
                  "-U", USER, "-R", "-X", "stream", "-c", "fast")  # fmt: skip
        return copy

    def wait_for_replica(self) -> None:
        """Make every commit wait, from now on, until a replica has it, too."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("alter system set synchronous_standby_names = '*'")
            connection.execute("select pg_reload_conf()")

    def promote(self) -> None:
        """Make a replica the primary."""
        self._run("pg_ctl", "-D", self._data, "-w", "-s", "promote")

    def trust(self, network: str) -> None:
        """Let everybody of *network* in, as it lets in everybody of this machine."""
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {network} trust\n")
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("select pg_reload_conf()")

    def end_connections(self) -> None:
        """End every connection to it, as a restart would."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )

    @property
    def address(self) -> str:
        """How libpq reaches its own database as the one who may do everything."""
        return f"host={self.folder} port={self.port} user={USER} dbname=postgres"

    def answers(self) -> bool:
        """Tell whether it runs and takes connections."""
        try:
            psycopg.connect(self.address, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def pids(self) -> list[int]:
        """Return the ids of its processes, the first one first; none when it does not run."""
        file = self._data / "postmaster.pid"
        first = file.read_text().split()[0] if file.exists() else ""
        if not first or not Path(f"/proc/{first}").exists():
            return []
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [int(first), *map(int, children)]

    def _administer(self, statement: str, *names: str) -> None:
        """Run one statement about whole databases."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _give_folder_away(self) -> None:
        """Hand the folder to the user that runs the server: PostgreSQL refuses to run as root."""
        try:
            shutil.chown(self.folder, user="postgres")
        except LookupError:
            msg = "PostgreSQL does not run as root, and there is no user `postgres` to run it"
            raise PostgresMissingError(msg) from None

    def _run(self, program: str, *arguments: str | Path) -> None:
        """Run one of the server's programs, as `postgres` when we are root."""
        command = [str(self._programs / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # A file, not a pipe: the server would inherit the pipe and keep it open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(command, cwd="/tmp", stdout=output, stderr=output, check=False)
            if done.returncode:
                output.seek(0)
                msg = f"{program} failed:\n{output.read()}"
                raise RuntimeError(msg)
