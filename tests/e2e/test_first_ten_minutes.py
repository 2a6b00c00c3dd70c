"""The main job on real input: an independent authenticator's code signs a real user in.

A real server process, the real command line, ``zbarimg`` to read the QR code, and
``oathtool`` to compute the codes: nothing of ours on the other side.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

PASSWORD = "correct horse battery staple"
needs_tools = pytest.mark.skipif(
    not (shutil.which("oathtool") and shutil.which("zbarimg"))
    and "TESTS_REQUIRE" not in os.environ,
    reason="oathtool and zbarimg are not installed; `make test` installs them",
)


class Place:
    """A folder with settings of its own, where the command line is used."""

    def __init__(self, folder: Path, database_url: str | None = None) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TWINLOCK_")},
            "TWINLOCK_DATA_DIR": str(folder / "data"),
            "TWINLOCK_ENVIRONMENT": "development",
            "TWINLOCK_PORT": str(self.port),
        }
        if database_url is not None:
            self.env["TWINLOCK_DATABASE_URL"] = database_url

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "twinlock", *words],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.env,
            timeout=60,
            check=False,
        )

    @contextlib.contextmanager
    def serving(self) -> Iterator[httpx2.Client]:
        """Run the server until the end of the block; its output goes to ``server.log``."""
        with (self.folder / "server.log").open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "twinlock", "serve", "--init"],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
            )
        try:
            with httpx2.Client(base_url=self.url) as client:
                wait_until_ready(client, server)
                yield client
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=30) in {0, -signal.SIGTERM}


def wait_until_ready(
    client: httpx2.Client, server: subprocess.Popen[bytes], *, path: str = "/readyz"
) -> None:
    """Ask until the server answers; between two questions, wait for it to end."""
    for _ in range(600):
        with contextlib.suppress(httpx2.TransportError):
            if client.get(path).status_code == 200:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the server has ended: {server.wait(timeout=0.1)}")
    pytest.fail("the server does not answer")


def code_of(secret: str, *, steps_ahead: int = 0) -> str:
    """Return an independent authenticator's code."""
    at = int(time.time()) + 30 * steps_ahead
    done = subprocess.run(
        ["oathtool", "--totp", "--base32", f"--now=@{at}", secret],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def read_qr(svg: str, folder: Path) -> str:
    """Return what an independent reader sees in our QR code.

    The SVG draws dark runs of modules as strokes: ``M4 4.5h7m1 0h2…``. They are painted into
    a picture here, eight pixels to a module.
    """
    size = [int(number) for number in re.findall(r"viewBox=.0 0 (\d+) (\d+)", svg)[0]]
    side = 8
    pixels = [bytearray(b"\xff" * size[0] * side) for _ in range(size[1] * side)]
    strokes = re.findall(r'stroke="#000" d="([^"]+)"|d="([^"]+)" stroke="#000"', svg)
    x = y = 0.0
    for letter, numbers in re.findall(r"([Mmh])([-\d. ]+)", "".join(strokes[0])):
        moved = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if letter == "M":
            x, y = moved
        elif letter == "m":
            x, y = x + moved[0], y + moved[1]
        else:
            for row in range(int(y) * side, (int(y) + 1) * side):
                dark = slice(int(x) * side, int(x + moved[0]) * side)
                pixels[row][dark] = b"\0" * int(moved[0] * side)
            x += moved[0]
    picture = folder / "qr.pgm"
    header = f"P5 {size[0] * side} {size[1] * side} 255\n".encode()
    picture.write_bytes(header + b"".join(pixels))
    read = subprocess.run(
        ["zbarimg", "--quiet", "--raw", picture], capture_output=True, text=True, check=True
    )
    return read.stdout.strip()


def first_password(server_log: str) -> str:
    """Return the password that the first start shows."""
    found = re.search(r"password\W+([A-Za-z0-9_-]{16,})", server_log, re.IGNORECASE)
    assert found, server_log
    return found[1]


def token(client: httpx2.Client, password: str, username: str = "johndoe") -> httpx2.Response:
    """Ask for a token as the tutorial does."""
    form = {"grant_type": "password", "username": username, "password": password}
    return client.post("/token", data=form)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A fresh folder."""
    return Place(tmp_path)


@needs_tools
def test_the_first_ten_minutes(place: Place) -> None:
    """Everything that a new user does, in the order of the README."""
    with place.serving() as client:
        shown = (place.folder / "server.log").read_text()
        admin = token(client, first_password(shown), "admin")
        assert admin.status_code == 200, shown

        created = place.run(
            "user", "create", "johndoe", "--email", "johndoe@example.com",
            "--full-name", "John Doe", "--password-stdin", stdin=PASSWORD + "\n",
        )  # fmt: skip
        assert created.returncode == 0, created.stderr

        headers = bearer(token(client, PASSWORD))
        me = client.get("/users/me", headers=headers).json()
        assert me == {
            "username": "johndoe",
            "email": "johndoe@example.com",
            "full_name": "John Doe",
            "disabled": False,
        }

        begun = client.post("/api/factors/totp", json={}, headers=headers).json()
        uri = read_qr(begun["options"]["qr_svg"], place.folder)
        assert uri == begun["options"]["uri"]
        secret = parse_qs(urlsplit(uri).query)["secret"][0]
        confirmed = client.post(
            "/api/factors/totp/confirm",
            json={"enrollment": begun["enrollment"], "answer": code_of(secret), "label": "Phone"},
            headers=headers,
        )
        assert confirmed.status_code == 201, confirmed.text
        recovery_codes = confirmed.json()["recovery_codes"]
        assert len(recovery_codes) == 10

        assert token(client, PASSWORD).json()["error"] == "mfa_required"
        code = code_of(secret, steps_ahead=1)
        signed_in = token(client, PASSWORD + code)
        assert signed_in.status_code == 200, signed_in.text
        assert client.get("/users/me", headers=bearer(signed_in)).json() == me

    with place.serving() as client:  # a restart: tokens live on, spent stays spent
        assert client.get("/users/me", headers=bearer(signed_in)).json() == me
        assert token(client, PASSWORD + code).status_code == 400
        recovered = client.post(
            "/token",
            data={
                "grant_type": "password",
                "username": "johndoe",
                "password": PASSWORD,
                "otp": recovery_codes[0],
            },
        )
        assert recovered.status_code == 200

    secrets = [
        PASSWORD,
        first_password(shown),
        code,
        secret,
        *recovery_codes,
        *(one.replace("-", "") for one in recovery_codes),
        signed_in.json()["access_token"],
        signed_in.json()["refresh_token"],
        recovered.json()["access_token"],
        begun["enrollment"],
        (place.folder / "data" / "secret.keys").read_text().split()[-1],
    ]
    assert_nothing_leaks(place, secrets, shown_once=first_password(shown))


def bearer(response: httpx2.Response) -> dict[str, str]:
    """Return the Authorization header of a token response."""
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


def assert_nothing_leaks(place: Place, secrets: list[str], *, shown_once: str) -> None:
    """Read the database file, its journal, the marks and the log, and find no secret."""
    everything = (place.folder / "data").rglob("*")  # mails of development included
    stored = [path for path in everything if path.is_file() and path.name != "secret.keys"]
    assert any(path.name.endswith("sqlite3") for path in stored)
    for path in stored:
        content = path.read_bytes()
        for secret in secrets:
            assert not stands_in(content, secret), f"{path.name} holds a secret"
    log = (place.folder / "server.log").read_bytes()
    for secret in secrets:
        if secret != shown_once:
            assert not stands_in(log, secret), "the log holds a secret"


def stands_in(content: bytes, secret: str) -> bool:
    """Tell whether a secret stands there; six digits of a time or an id are no code."""
    around = rb"(?<![0-9a-f.])%s(?![0-9a-f])" if len(secret) == 6 else rb"%s"
    return re.search(around % re.escape(secret.encode()), content) is not None
