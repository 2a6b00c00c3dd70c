"""Several hosts on one machine: network namespaces on one bridge, with a real load balancer."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port
from reliability.client import Address

BRIDGE = "twinlock0"
GATEWAY = "10.77.0.1"
"""Where the database and the load balancer are."""
HOST_NAME = "login.example.com"

HAPROXY = """\
global
    maxconn 1000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 2s
    retries 3
    option redispatch
frontend login
    bind {gateway}:{port}
    default_backend hosts
backend hosts
    balance roundrobin
    # The one in front sets what a browser would have sent, and whose request it is.
    http-request set-header Host {name}
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host {name}
    default-server check inter 500ms fall 2 rise 1
{servers}
"""


def missing() -> list[str]:
    """Return what this machine lacks for it."""
    lacking = [one for one in ("ip", "haproxy") if shutil.which(one) is None]
    return lacking if os.geteuid() == 0 else [*lacking, "root"]


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace with one address."""

    name: str
    ip: str

    @property
    def before(self) -> tuple[str, ...]:
        """What runs a command on it."""
        return ("ip", "netns", "exec", self.name)

    def cut_off(self) -> None:
        """Pull its cable out."""
        _ip("link", "set", f"{self.name}b", "down")

    def plug_in(self) -> None:
        """Put its cable back."""
        _ip("link", "set", f"{self.name}b", "up")


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Make hosts that reach each other and this machine, and nothing else.

    Raises:
        CalledProcessError: This machine does not let us.
    """
    made = [Host(f"twin{number}", f"10.77.0.{10 + number}") for number in range(1, count + 1)]
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for host in made:
            inner, outer = f"{host.name}a", f"{host.name}b"
            _ip("netns", "add", host.name)
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            _ip("link", "set", inner, "netns", host.name)
            _ip("link", "set", outer, "master", BRIDGE, "up")
            for command in (
                ("addr", "add", f"{host.ip}/24", "dev", inner),
                ("link", "set", inner, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", host.name, *command)
        yield made
    finally:
        for host in made:
            _ip("netns", "del", host.name, check=False)
            _ip("link", "del", f"{host.name}b", check=False)
        _ip("link", "del", BRIDGE, check=False)


@contextlib.contextmanager
def load_balancer(folder: Path, backends: Sequence[Address]) -> Iterator[Address]:
    """Run HAProxy before all of them."""
    port = free_port()
    servers = "\n".join(
        f"    server host{number} {one.host}:{one.port}" for number, one in enumerate(backends)
    )
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(gateway=GATEWAY, port=port, name=HOST_NAME, servers=servers))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(["haproxy", "-f", str(config)], stdout=log, stderr=log)
        try:
            time.sleep(2)  # its first checks
            if process.poll() is not None:
                raise RuntimeError((folder / "haproxy.log").read_text())
            yield Address(GATEWAY, port)
        finally:
            process.terminate()
            process.wait()


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=not check)
