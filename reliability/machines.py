"""``machines``: several hosts on one PostgreSQL behind a load balancer."""

import asyncio
import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import make_url

from benchmarks import load
from benchmarks.installation import PASSWORD, REAL, Person, create
from benchmarks.load import Reply
from benchmarks.processes import free_port
from reliability import network
from reliability.book import Book
from reliability.client import Address, Client, NotSentError, UnansweredError, ask, members
from reliability.clocks import FAKETIME, faked
from reliability.crowd import Crowd
from reliability.network import GATEWAY, HOST_NAME, Host
from reliability.report import Report
from reliability.servers import SMALL, LoginServer, workplace
from reliability.visitors import code_of, step_now
from tests.support.postgres import DURABLE, USER, PostgresServer

SEEN_SECONDS = 1.0
"""In which a revocation must have come everywhere: one poll."""
BUSY_SECONDS = 1.0
"""More than that on a machine that does much else; told, and not hidden in the goal."""
CLIENTS = 6


@dataclass
class Site:
    """The hosts, their servers, and what they share."""

    folder: Path
    hosts: list[Host]
    servers: list[LoginServer]
    report: Report
    people: list[Person] = field(default_factory=list)
    balancer: Address = field(default_factory=lambda: Address(GATEWAY, 0))

    def client(self, number: int) -> Client:
        """Return a client of one host, past the load balancer."""
        return Client(self.servers[number].address, "198.18.0.1", HOST_NAME)

    def somebody(self) -> Person:
        return self.people.pop()


async def run(*, count: int = 3, people: int = 900, seed: int = 1) -> Report:
    """Try everything that is promised for several machines."""
    report = Report(f"Machines: {count} hosts in network namespaces, HAProxy, one PostgreSQL")
    with workplace("machines") as folder, ExitStack() as running:
        hosts = running.enter_context(network.hosts(count))
        url = running.enter_context(_database())
        installation = create(folder / "first", accounts=people, profile=REAL, database_url=url)
        servers = [_server(folder, host, url) for host in hosts]
        site = Site(folder, hosts, servers, report, installation.people.all)
        for server in servers:
            server.start()
            running.callback(server.stop)
        for server in servers:
            server.wait_until_ready(HOST_NAME)
        site.balancer = running.enter_context(
            network.load_balancer(folder, [server.address for server in servers])
        )
        book = Book(url, report, random.Random(seed))
        running.callback(book.close)
        await one_login_over_three_hosts(site)
        await revoked_on_one_seen_by_all(site)
        await rolling_restart(site, book)
        await cut_off(site)
        await clocks_apart(site)
    return report


async def one_login_over_three_hosts(site: Site) -> None:
    """Begin a login on one host, answer on the next, use and refresh its tokens on a third."""
    for _ in range(5):
        person = site.somebody()
        begun = await site.client(0).post(
            "/api/login", {"username": person.username, "password": PASSWORD}
        )
        body = {"login": members(begun)["login"], "answer": code_of(person, step_now())}
        answered = await site.client(1).post("/api/login/totp", body)
        again = await site.client(2).post("/api/login/totp", body)
        tokens = members(answered)
        me = await site.client(2).get("/users/me", token=tokens.get("access_token"))
        refreshed = await site.client(0).form(
            "/token", grant_type="refresh_token", refresh_token=tokens.get("refresh_token", "")
        )
        statuses = [one.status for one in (begun, answered, again, me, refreshed)]
        site.report.expect(
            statuses == [200, 200, 401, 200, 200], f"a login over three hosts: {statuses}"
        )
        site.report.count("logins over three hosts")


async def revoked_on_one_seen_by_all(site: Site) -> None:
    """Sign out on one host, and see how long the others believe the token."""
    longest = 0.0
    for _ in range(10):
        token = await _token(site, 0)
        for number in range(len(site.servers)):
            for _ in range(3):  # so that it is remembered
                await site.client(number).get("/users/me", token=token)
        await site.client(0).post("/api/logout", {}, token=token)
        begun = time.monotonic()
        own = await site.client(0).get("/users/me", token=token)
        site.report.expect(own.status == 401, "revoked, and alive on the same host")
        for number in range(1, len(site.servers)):
            while (await site.client(number).get("/users/me", token=token)).status == 200:
                if time.monotonic() - begun > 10:
                    break
                await asyncio.sleep(0.02)
        longest = max(longest, time.monotonic() - begun)
        site.report.count("revocations")
    site.report.lines.append(f"a revocation was seen everywhere after {longest:.2f} s at most")
    site.report.expect(longest <= SEEN_SECONDS + BUSY_SECONDS, f"a revocation took {longest:.2f} s")


async def rolling_restart(site: Site, book: Book) -> None:
    """Restart one host after the other under load; nobody notices."""
    async with _crowd(site, book, clients=CLIENTS):
        for number, server in enumerate(site.servers):
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(1)
            server.start()
            await asyncio.to_thread(server.wait_until_ready, HOST_NAME)
            await asyncio.sleep(1.5)  # until the load balancer has seen it
            site.report.count(f"rolling restart: host {number} restarted")
    failed = {
        name: count
        for name, count in site.report.counts.items()
        if name.startswith(("unanswered", "not sent", "told to come back"))
    }
    site.report.expect(not failed, f"rolling restart: {failed}")


async def cut_off(site: Site) -> None:
    """Pull the cable of one host: what it remembers is not believed for long."""
    last = len(site.servers) - 1
    host, server = site.hosts[last], site.servers[last]
    token = await _token(site, last)
    await site.client(last).get("/users/me", token=token)
    host.cut_off()
    begun = time.monotonic()
    try:
        await asyncio.sleep(6)
        site.report.expect(
            _asked_inside(host, server, "/users/me", token) == "503",
            "cut off: memory is believed after six seconds",
        )
        status = _asked_inside(host, server, "/readyz", None)
        site.report.expect(status == "503", f"cut off: /readyz said {status}")
        for _ in range(20):
            reply = await ask(site.balancer, load.get("/users/me", token=token))
            site.report.expect(
                reply.status == 200, f"cut off: the load balancer answered {reply.status}"
            )
    finally:
        host.plug_in()
    begun = time.monotonic()
    while await _status(site.client(last), token) != 200:
        if time.monotonic() - begun > 60:
            break
        await asyncio.sleep(0.1)
    took = time.monotonic() - begun
    site.report.lines.append(f"a host that was cut off was well again after {took:.1f} s")
    site.report.expect(took < 5 + BUSY_SECONDS, f"cut off: well again after {took:.1f} s")


async def clocks_apart(site: Site) -> None:
    """Set one host's clock ahead and behind, within what is configured and beyond."""
    if not FAKETIME.exists():
        site.report.count("not tried: clocks apart, for there is no libfaketime")
        return
    last = len(site.servers) - 1
    for seconds, there, here in ((3, 200, 200), (-3, 200, 200), (60, 200, 401)):
        server = site.servers[last]
        await asyncio.to_thread(server.stop)
        server.environment.update(faked(seconds=seconds))
        server.start()
        await asyncio.to_thread(server.wait_until_ready, HOST_NAME)
        token = await _token(site, last, lead=seconds)
        found = (await _status(site.client(last), token), await _status(site.client(0), token))
        site.report.expect(
            found == (there, here), f"a clock {seconds:+d} s off: its tokens are {found}"
        )
        if abs(seconds) > 5:
            continue
        token = await _token(site, 0)
        status = await _status(site.client(last), token)
        site.report.expect(status == 200, f"a clock {seconds:+d} s off refuses tokens: {status}")
        site.report.count("clocks apart")


@contextlib.asynccontextmanager
async def _crowd(site: Site, book: Book, *, clients: int) -> AsyncIterator[None]:
    half = len(site.people) // 2
    crowd = Crowd(site.people[:half], site.balancer, site.report, random.Random(2))
    del site.people[:half]
    crowd.start(clients)
    await asyncio.sleep(2)
    yield
    await asyncio.sleep(2)
    await crowd.stop()
    await book.check(crowd.take_touched())


async def _token(site: Site, number: int, *, lead: int = 0) -> str:
    """Sign somebody new in on a host whose clock is *lead* seconds ahead."""
    person = site.somebody()
    step = (int(time.time()) + lead) // 30
    reply = await site.client(number).form(
        "/token",
        grant_type="password",
        username=person.username,
        password=PASSWORD + code_of(person, step),
    )
    if reply.status != 200:
        raise RuntimeError(f"no sign-in: {reply}")
    token: str = members(reply)["access_token"]
    return token


async def _status(client: Client, token: str) -> int:
    try:
        reply: Reply = await client.get("/users/me", token=token)
    except (NotSentError, UnansweredError):
        return 0
    return reply.status


def _asked_inside(host: Host, server: LoginServer, path: str, token: str | None) -> str:
    """Ask a host from within, where no cable is needed; return the status."""
    command = [*host.before, "curl", "-s", "-m", "15", "-o", "/dev/null", "-w", "%{http_code}"]
    command += ["-H", f"Host: {HOST_NAME}"]
    if token is not None:
        command += ["-H", f"Authorization: Bearer {token}"]
    url = f"http://{server.address.host}:{server.address.port}{path}"
    return subprocess.run([*command, url], capture_output=True, text=True, check=False).stdout


@contextlib.contextmanager
def _database() -> Iterator[str]:
    port = free_port()
    server = PostgresServer(port=port, options={**DURABLE, **SMALL, "listen_addresses": GATEWAY})
    try:
        server.start()
        server.trust("10.77.0.0/24")
        name = server.create_database()
        yield f"postgresql+psycopg://{USER}@{GATEWAY}:{port}/{name}"
    finally:
        server.stop()


def _server(folder: Path, host: Host, url: str) -> LoginServer:
    """Prepare a host with a data folder of its own, and a copy of the key file in it."""
    data = folder / host.name
    data.mkdir(mode=0o700)
    shutil.copy2(folder / "first" / "secret.keys", data)
    environment = {
        "TWINLOCK_ENVIRONMENT": "production",
        "TWINLOCK_DATA_DIR": str(data),
        "TWINLOCK_DATABASE_URL": make_url(url).render_as_string(hide_password=False),
        "TWINLOCK_BASE_URL": f"https://{HOST_NAME}",
        "TWINLOCK_TRUSTED_PROXIES": "10.77.0.0/24",
        "TWINLOCK_REFRESH_GRACE": "60",
        "TWINLOCK_HASH_WAITING_PER_THREAD": "1000",
    }
    return LoginServer(
        folder, environment, host=host.ip, port=8000, name=host.name, before=host.before
    )
