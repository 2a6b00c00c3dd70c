"""The configuration of ``docs/how-to/forward-auth.md`` under a real nginx, with real servers."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from scripts.system import nginx_program
from tests.support.house import PASSWORD, House
from twinlock.testing.installation import changed

pytestmark = [
    pytest.mark.nginx,
    pytest.mark.skipif(
        nginx_program() is None and "TESTS_REQUIRE" not in os.environ,
        reason="no nginx; `make test` installs one",
    ),
]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "forward-auth.md"
START_SECONDS = 60
CLAIMS = {"Remote-User": "admin", "Remote-Groups": "admin", "Remote-Acr": "phr", "remote_user": "x"}


def block(language: str) -> str:
    """Return the page's first block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@dataclass
class Wiki:
    """An application that knows nothing of us, and writes down what it is asked."""

    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @contextmanager
    def serve(self) -> Iterator[int]:
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                asked.append((self.command, {k.lower(): v for k, v in self.headers.items()}))
                self.send_response(200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"wiki")

            do_GET = do_POST = answer  # noqa: N815 - http.server asks for these names

            def log_message(self, *_: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()


@dataclass
class Site:
    client: httpx2.Client
    wiki: Wiki
    origin: str

    def cookie(self) -> dict[str, str]:
        """Return the header that a signed-in browser sends by itself, and what its page adds."""
        body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
        answer = self.client.post("/api/login", json=body, headers={"Origin": self.origin})
        assert answer.status_code == 200, answer.text
        self.client.cookies.clear()
        pairs = [one.partition(";")[0] for one in answer.headers.get_list("set-cookie")]
        return {"Cookie": "; ".join(pairs), "X-CSRF-Token": answer.json()["csrf_token"]}

    def token(self) -> dict[str, str]:
        form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
        answer = self.client.post("/token", data=form)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
def site(sqlite_house: House, tmp_path: Path) -> Iterator[Site]:
    port, login_port, wiki = free_port(), free_port(), Wiki()
    origin = f"http://localhost:{port}"
    sqlite_house.settings = changed(sqlite_house.settings, base_url=origin)
    with sqlite_house.open():
        sqlite_house.create(roles=("editor", "reader"))
    with ExitStack() as running:
        (tmp_path / "login.py").write_text(block("python"))
        command = [sys.executable, "-m", "uvicorn", "login:app", "--port", str(login_port)]
        running.enter_context(
            started(command, tmp_path, login_port, environment_of(sqlite_house, origin))
        )
        server = (
            block("nginx")
            .replace("listen 80;", f"listen 127.0.0.1:{port};")
            .replace("example.com", "localhost")
            .replace("127.0.0.1:8000", f"127.0.0.1:{login_port}")
            .replace("127.0.0.1:9000", f"127.0.0.1:{running.enter_context(wiki.serve())}")
        )
        (tmp_path / "nginx.conf").write_text(around(server, tmp_path))
        nginx = nginx_program()
        assert nginx is not None, "no nginx; `make test` installs one"
        command = [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
        command += ["-e", str(tmp_path / "error.log")]
        running.enter_context(started(command, tmp_path, port, {}))
        yield Site(running.enter_context(httpx2.Client(base_url=origin)), wiki, origin)


def environment_of(house: House, origin: str) -> dict[str, str]:
    return {
        "TWINLOCK_ENVIRONMENT": "development",
        "TWINLOCK_DATA_DIR": str(house.settings.data_dir),
        "TWINLOCK_DATABASE_URL": house.settings.database_url,
        "TWINLOCK_BASE_URL": origin,
        "TWINLOCK_TRUSTED_PROXIES": "127.0.0.1",
        "TWINLOCK_HASH_MEMORY_KIB": "64",
        "TWINLOCK_HASH_ITERATIONS": "1",
    }


def around(server: str, folder: Path) -> str:
    """Return a whole configuration that writes nothing outside *folder*."""
    kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"{name}_temp_path {folder / name};" for name in kept)
    return (
        f"daemon off;\nmaster_process off;\npid {folder / 'nginx.pid'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}\n{server}\n}}\n"
    )


@contextmanager
def started(
    command: list[str], folder: Path, port: int, environment: dict[str, str]
) -> Iterator[None]:
    """Run a server until the block ends."""
    log = (folder / f"{port}.log").open("wb")
    with (
        log,
        subprocess.Popen(
            command, cwd=folder, env=dict(os.environ) | environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            until = time.monotonic() + START_SECONDS
            while not is_open(port):
                assert time.monotonic() < until
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
                    pytest.fail((folder / f"{port}.log").read_text())
            yield
        finally:
            process.terminate()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_nobody_passes_unknown_and_people_are_led_to_the_login(site: Site) -> None:
    plain = site.client.get("/wiki/page?x=1")
    forged = site.client.get("/wiki/page", headers={"Authorization": "Bearer forged"} | CLAIMS)
    inside = site.client.get("/forward-auth", headers=site.token())

    assert (plain.status_code, forged.status_code, inside.status_code) == (302, 302, 404)
    assert plain.headers["location"] == f"{site.origin}/login?next=/wiki/page?x=1"
    assert site.wiki.asked == []


def test_the_application_hears_from_us_alone_who_asks(site: Site) -> None:
    answer = site.client.get("/wiki/page", headers=site.token() | CLAIMS)

    assert (answer.status_code, answer.text) == (200, "wiki")
    _, headers = site.wiki.asked[0]
    told = {name: value for name, value in headers.items() if name.startswith("remote")}
    assert told == {"remote-user": "johndoe", "remote-groups": "editor,reader"}
    assert not headers.keys() & {"authorization", "cookie"}


def test_a_credential_passes_until_the_session_ends(site: Site) -> None:
    for header in (site.cookie(), site.token()):
        before = site.client.get("/wiki/", headers=header)
        out = site.client.post("/api/logout", json={}, headers=header | {"Origin": site.origin})
        after = site.client.get("/wiki/", headers=header)

        assert (before.status_code, out.status_code, after.status_code) == (200, 204, 302)


def test_another_site_changes_nothing_with_the_cookie(site: Site) -> None:
    cookie = site.cookie()
    evil = cookie | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}

    refused = site.client.post("/wiki/", headers=evil)
    lied = site.client.post("/wiki/", headers=evil | {"X-Forwarded-Method": "GET"})
    own = site.client.post("/wiki/", headers=cookie | {"Origin": site.origin})

    assert (refused.status_code, lied.status_code, own.status_code) == (403, 403, 200)
    assert [method for method, _ in site.wiki.asked] == ["POST"]
