"""``twinlock factor`` enrolls with any authenticator, and says what follows a removal."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import segno
from fastapi.testclient import TestClient

from tests.cli.conftest import Cli
from tests.support.clock import MovableClock
from tests.support.house import BASE_URL, token
from twinlock.core.clock import utc_now
from twinlock.factors.totp import otpauth
from twinlock.login_server import create_app
from twinlock.testing.authenticator import FakeAuthenticator

ENROLL = [sys.executable, "-m", "twinlock", "factor", "enroll", "johndoe", "totp"]
PASSWORD = "correct horse battery staple"


@pytest.fixture
def johndoe(cli: Cli) -> Cli:
    """An installation in which John has an account and no second factor."""
    cli.done("user", "create", "johndoe", "--password-stdin", input=PASSWORD)
    return cli


@pytest.fixture
def sqlite_johndoe(sqlite_cli: Cli) -> Cli:
    """The same on SQLite, for what no database can change."""
    sqlite_cli.done("init")
    sqlite_cli.done("user", "create", "johndoe", "--password-stdin", input=PASSWORD)
    return sqlite_cli


def oathtool(secret: str, *, steps_on: int = 0) -> str:
    """Return a code of an independent authenticator, some time steps from now."""
    moment = utc_now() + steps_on * timedelta(seconds=30)
    arguments = ["oathtool", "--totp", "--base32", "--now", f"{moment:%Y-%m-%d %H:%M:%S UTC}"]
    done = subprocess.run([*arguments, secret], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def enroll(cli: Cli, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Enroll as a script does; return the line that begins it and the line that ends it."""
    with subprocess.Popen(
        [*ENROLL, "--json", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        begun = json.loads(process.stdout.readline())
        process.stdin.write(oathtool(begun["secret"]) + "\n")
        process.stdin.flush()
        done = json.loads(process.stdout.readline())
    assert process.returncode == 0
    return begun, done


def test_a_script_enrolls_an_independent_authenticator_that_signs_in(johndoe: Cli) -> None:
    begun, done = enroll(johndoe, "--label", "Phone")

    assert begun["status"] == "enrollment_begun"
    assert (begun["expires_in"], begun["tries"]) == (600, 5)
    assert (done["status"], done["factor"]["label"]) == ("enrolled", "Phone")
    assert len(set(done["recovery_codes"])) == 10
    later = MovableClock(utc_now() + timedelta(seconds=30))
    with TestClient(create_app(johndoe.settings, clock=later), base_url=BASE_URL) as client:
        without = token(client, "johndoe", PASSWORD)
        code = oathtool(begun["secret"], steps_on=1)
        appended = token(client, "johndoe", PASSWORD + code)
        recovered = token(client, "johndoe", PASSWORD, otp=done["recovery_codes"][0])
    assert (without.status_code, appended.status_code, recovered.status_code) == (403, 200, 200)


def test_an_independent_reader_scans_the_qr_code_of_the_uri(
    sqlite_johndoe: Cli, tmp_path: Path
) -> None:
    begun = json.loads(sqlite_johndoe("factor", "enroll", "johndoe", "totp", "--json").stdout)
    picture = tmp_path / "qr.png"
    segno.make_qr(begun["uri"]).save(str(picture), scale=4)

    scanned = subprocess.run(
        ["zbarimg", "--quiet", "--raw", str(picture)], check=True, capture_output=True, text=True
    )

    assert scanned.stdout.strip() == begun["uri"]
    parsed = otpauth.parse_uri(begun["uri"])
    assert isinstance(parsed, otpauth.Parsed)
    assert otpauth.encode_secret(parsed.key) == begun["secret"]


def test_an_independent_reader_scans_what_the_terminal_shows(
    sqlite_johndoe: Cli, tmp_path: Path
) -> None:
    """Each half block is one module above another; drawn as squares, it is a QR code again."""
    shown = sqlite_johndoe("factor", "enroll", "johndoe", "totp", "--uri").stdout
    drawing = [line for line in shown.splitlines() if line and set(line) <= set(" ▀▄█")]
    uri = next(line.rpartition(" ")[2] for line in shown.splitlines() if "otpauth:" in line)
    picture = tmp_path / "terminal.pbm"

    picture.write_text(as_bitmap(drawing))
    scanned = subprocess.run(
        ["zbarimg", "--quiet", "--raw", str(picture)], check=True, capture_output=True, text=True
    )

    assert scanned.stdout.strip() == uri


def as_bitmap(drawing: list[str], *, scale: int = 4) -> str:
    """Return half blocks as a portable bitmap; blocks are light."""
    light = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    rows = [[light[cell][half] for cell in line] for line in drawing for half in (0, 1)]
    pixels = [
        " ".join(str(1 - module) for module in row for _ in range(scale))
        for row in rows
        for _ in range(scale)
    ]
    return "\n".join(["P1", f"{len(rows[0]) * scale} {len(rows) * scale}", *pixels, ""])


def test_people_see_the_key_in_groups_and_the_uri_only_on_request(sqlite_johndoe: Cli) -> None:
    shown = sqlite_johndoe("factor", "enroll", "johndoe", "totp").stdout

    key = next(line.partition(": ")[2] for line in shown.splitlines() if "key" in line)
    assert [len(group) for group in key.split(" ")] == [4] * 8
    assert "otpauth:" not in shown


def test_a_person_types_the_code_and_sees_ten_recovery_codes_once(sqlite_johndoe: Cli) -> None:
    with subprocess.Popen(
        ENROLL,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        key = next(line.partition("key: ")[2] for line in process.stdout if "key: " in line)
        code = oathtool(key.replace(" ", "").strip())
        process.stdin.write(f" {code[:3]} {code[3:]}\n")  # as apps show it
        process.stdin.close()
        shown = process.stdout.read()

    codes = [line.strip() for line in shown.splitlines() if line.count("-") == 5]
    assert (process.returncode, len(set(codes))) == (0, 10)
    assert "shown this once" in shown


def test_five_wrong_codes_end_the_enrollment(johndoe: Cli) -> None:
    lines = "000000\nnonsense\n\n999999\n1\n2\n"

    result = johndoe("factor", "enroll", "johndoe", "totp", "--json", input=lines)

    answers = [json.loads(line) for line in result.stdout.splitlines()[1:]]
    assert [one["tries_left"] for one in answers] == [4, 3, 2, 1, 0]
    assert result.exit_code == 1
    assert "Too many wrong codes" in result.stderr
    assert johndoe.json("factor", "list", "johndoe")["factors"] == []


def test_no_code_enrolls_nothing(sqlite_johndoe: Cli) -> None:
    told = sqlite_johndoe.refused("factor", "enroll", "johndoe", "totp", input="")

    assert "nothing was enrolled" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["recovery_codes"],
        ["passkey\x1b[2J"],
        ["totp", "--label", " "],
        ["totp", "--label", "x" * 65],
    ],
)
def test_wrong_usage_enrolls_nothing(sqlite_johndoe: Cli, arguments: list[str]) -> None:
    told = sqlite_johndoe.refused("factor", "enroll", "johndoe", *arguments, code=2)

    assert "\x1b" not in told


def test_a_second_authenticator_brings_no_new_recovery_codes(johndoe: Cli) -> None:
    enroll(johndoe)

    _, second = enroll(johndoe, "--label", "Tablet")

    listed = johndoe.json("factor", "list", "johndoe")
    assert [one["label"] for one in listed["factors"]] == ["Authenticator app", "Tablet"]
    assert (second["recovery_codes"], listed["recovery_codes_left"]) == ([], 10)


def test_a_removed_authenticator_leaves_the_other(johndoe: Cli) -> None:
    _, first = enroll(johndoe)
    enroll(johndoe, "--label", "Tablet")

    johndoe.done("factor", "remove", "johndoe", first["factor"]["id"], "--yes")

    shown = johndoe.done("factor", "list", "johndoe")
    assert first["factor"]["id"] not in shown
    assert "Tablet" in shown


def test_removing_what_is_not_there_is_refused(johndoe: Cli) -> None:
    told = johndoe.refused("factor", "remove", "johndoe", "0" * 32, "--yes")

    assert "no such authenticator" in told


@pytest.mark.parametrize("way", ["remove", "reset"])
def test_without_the_last_factor_the_password_opens_nothing(johndoe: Cli, way: str) -> None:
    """Security page, 9: the account is in enrollment, and no password alone opens it."""
    _, done = enroll(johndoe)
    which = [done["factor"]["id"]] if way == "remove" else []

    told = johndoe.done("factor", way, "johndoe", *which)

    assert "twinlock factor enroll johndoe totp" in told
    assert johndoe.json("user", "show", "johndoe")["awaits_enrollment"] is True
    assert johndoe.json("factor", "list", "johndoe") == {"factors": [], "recovery_codes_left": 0}
    with TestClient(create_app(johndoe.settings), base_url=BASE_URL) as client:
        assert token(client, "johndoe", PASSWORD).status_code == 403
    enroll(johndoe)
    assert johndoe.json("user", "show", "johndoe")["awaits_enrollment"] is False


def test_a_passkey_is_not_enrolled_in_a_terminal(sqlite_johndoe: Cli) -> None:
    told = sqlite_johndoe.refused("factor", "enroll", "johndoe", "passkey")

    assert "browser" in told
    assert sqlite_johndoe.settings.base_url in told


def test_passkeys_are_listed_with_who_keeps_them(sqlite_johndoe: Cli) -> None:
    maker = bytes.fromhex("d548826e79b4db40a3d811116f7e8349")
    device = FakeAuthenticator(origin=sqlite_johndoe.settings.base_url, aaguid=maker)
    with TestClient(create_app(sqlite_johndoe.settings), base_url=BASE_URL) as client:
        headers = {
            "Authorization": f"Bearer {token(client, 'johndoe', PASSWORD).json()['access_token']}"
        }
        begun = client.post("/api/factors/passkey", json={}, headers=headers).json()
        body = {"enrollment": begun["enrollment"], "answer": device.create(begun["options"])}
        client.post("/api/factors/passkey/confirm", json=body, headers=headers)

    table = sqlite_johndoe.done("factor", "list", "johndoe")
    (listed,) = sqlite_johndoe.json("factor", "list", "johndoe")["factors"]

    assert "Bitwarden, synced" in table
    assert (listed["method"], listed["label"]) == ("passkey", "Passkey")
    assert listed["details"]["provider"] == "Bitwarden"
