"""PostgreSQL as people run it: behind PgBouncer in transaction mode, and failing over."""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy.engine import make_url

from benchmarks.installation import TOY, create
from benchmarks.processes import free_port
from reliability.book import Book
from reliability.crowd import Crowd
from reliability.faults import SETTINGS
from reliability.report import Report
from reliability.servers import SMALL, LoginServer, database_of, workplace
from tests.support.postgres import DURABLE, USER, PostgresServer

CLIENTS = 12
SERVER_CONNECTIONS = 4
"""Fewer than the processes of ours would keep, so that transactions share connections."""
PGBOUNCER = """\
[databases]
{database} = host={socket} port={port} dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
server_reset_query =
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


async def run(*, seconds: float = 20, seed: int = 1) -> Report:
    """Let a crowd in through PgBouncer, then through a failover to a replica."""
    report = Report("PostgreSQL as people run it")
    with workplace("pooler") as folder:
        if shutil.which("pgbouncer"):
            await through_pgbouncer(folder, report, seconds=seconds, seed=seed)
        else:
            report.count("not tried: there is no pgbouncer")
    with workplace("failover") as folder:
        await through_a_failover(folder, report, seed=seed)
    return report


async def through_pgbouncer(folder: Path, report: Report, *, seconds: float, seed: int) -> None:
    """Share four connections among two processes, and check every row afterwards."""
    with ExitStack() as running:
        url, database = running.enter_context(database_of("postgres", folder))
        if database is None:
            raise LookupError("there is no PostgreSQL here")
        direct = make_url(url)
        port = running.enter_context(_pgbouncer(folder, database, str(direct.database)))
        installation = create(
            folder / "data", accounts=900, bare=300, profile=TOY, database_url=url
        )
        environment = {
            **installation.environment,
            **SETTINGS,
            "TWINLOCK_DATABASE_URL": f"postgresql://{USER}@127.0.0.1:{port}/{direct.database}",
            "TWINLOCK_DATABASE_POOLER": "true",
        }
        server = running.enter_context(LoginServer(folder, environment).running())
        book = Book(url, report, random.Random(seed))
        running.callback(book.close)
        crowd = Crowd(installation.people.all, server.address, report, random.Random(seed))
        crowd.start(CLIENTS)
        await asyncio.sleep(seconds)
        await crowd.stop()
        await book.check(crowd.take_touched())
        log = server.log.read_text()
        report.expect("prepared statement" not in log, "PgBouncer: a prepared statement was missed")
        report.expect("database_failed" not in log, "PgBouncer: the database failed")
        failed = {name: n for name, n in report.counts.items() if name.startswith("told to come")}
        report.expect(not failed, f"PgBouncer: {failed}")
        report.lines.append(
            f"PgBouncer, transaction mode: {report.counts.total():,} counted over "
            f"{SERVER_CONNECTIONS} connections"
        )


async def through_a_failover(folder: Path, report: Report, *, seed: int) -> None:
    """Kill the primary, promote its replica, and go on under one URL that names both."""
    with ExitStack() as running:
        primary = PostgresServer(options={**DURABLE, **SMALL})
        running.callback(primary.stop)
        primary.start()
        name = primary.create_database()
        installation = create(
            folder / "data", accounts=900, bare=0, profile=TOY, database_url=primary.url(name)
        )
        replica = primary.replica()
        running.callback(replica.stop)
        replica.resume()
        primary.wait_for_replica()
        hosts = f"host={primary.folder}:{primary.port}&host={replica.folder}:{replica.port}"
        url = f"postgresql://{USER}@/{name}?{hosts}&target_session_attrs=read-write"
        environment = {**installation.environment, **SETTINGS, "TWINLOCK_DATABASE_URL": url}
        server = running.enter_context(LoginServer(folder, environment).running())
        crowd = Crowd(installation.people.all, server.address, report, random.Random(seed))
        crowd.start(4)
        await asyncio.sleep(3)
        primary.halt()
        begun = time.monotonic()
        replica.promote()
        promoted = time.monotonic()
        while server.readiness() != 200 and time.monotonic() - begun < 60:
            await asyncio.sleep(0.1)
        took = time.monotonic() - promoted
        report.lines.append(f"failover: well again {took:.1f} s after the promotion")
        report.expect(took < 5, f"failover: well again after {took:.1f} s")
        await asyncio.sleep(3)
        await crowd.stop()
        book = Book(replica.url(name), report, random.Random(seed))
        running.callback(book.close)
        await book.check(crowd.take_touched())


@contextlib.contextmanager
def _pgbouncer(folder: Path, database: PostgresServer, name: str) -> Iterator[int]:
    listen = free_port()
    config = folder / "pgbouncer.ini"
    config.write_text(
        PGBOUNCER.format(
            database=name,
            socket=database.folder,
            port=database.port,
            user=USER,
            listen=listen,
            size=SERVER_CONNECTIONS,
            folder=folder,
        )
    )
    command = ["pgbouncer", "-q", str(config)]
    if os.geteuid() == 0:  # it refuses to be root
        shutil.chown(folder, "postgres")
        command = ["runuser", "-u", "postgres", "--", *command]
    process = subprocess.Popen(command)
    try:
        time.sleep(1)
        yield listen
    finally:
        process.terminate()
        process.wait()
