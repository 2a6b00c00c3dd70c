"""``twinlock user import``: every account comes over whole, or is named with the reason."""

import json
import subprocess
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.cli.conftest import Cli
from tests.support.clock import MovableClock
from tests.support.house import BASE_URL, bearer, token
from twinlock.cli.import_files import Format, Found, format_of, read_records
from twinlock.core.clock import utc_now
from twinlock.login_server import create_app

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = [
    EXAMPLES / "tutorial_upgraded" / "before.py",
    *sorted((EXAMPLES / "import_users").glob("users.*")),
]
HASH = "$2b$04$H94DR5.BGvIHPBfU8hdTb.ocm31NfRa9Ij845veAD/vXqQYVrTM7W"
SECRET = "GEZDGNBVGY3TQOJQ" * 2  # of RFC 6238 appendix B, in base32


def user(username: str = "johndoe", **fields: Any) -> dict[str, Any]:
    """Return a record that can be taken over."""
    return {"username": username, "hashed_password": HASH, **fields}


@pytest.fixture
def house_cli(sqlite_cli: Cli) -> Cli:
    """An initialised installation on SQLite."""
    sqlite_cli.done("init")
    return sqlite_cli


def written(cli: Cli, name: str, content: str | bytes | list[dict[str, Any]]) -> str:
    """Write a file into the working folder and return its name."""
    path = cli.folder / name
    match content:
        case bytes():
            path.write_bytes(content)
        case str():
            path.write_text(content, "utf-8")
        case records:
            path.write_text(json.dumps(records), "utf-8")
    return name


def imported(cli: Cli, name: str, content: Any, *options: str) -> Any:
    """Import a file and return the report, whatever the exit code."""
    result = cli("user", "import", written(cli, name, content), "--json", *options)
    report = json.loads(result.stdout)
    assert result.exit_code == (1 if report["refused"] or report["problem"] else 0)
    return report


def reasons(report: Any) -> dict[str, str]:
    """Return why records were refused, by their names."""
    return {str(one["username"]): one["reason"] for one in report["refused"]}


def usernames(cli: Cli) -> set[str]:
    return {one["username"] for one in cli.json("user", "list", "--limit", "1000")["users"]}


def oathtool(secret: str, moment: Any) -> str:
    arguments = ["oathtool", "--totp", "-b", "--now", f"{moment:%Y-%m-%d %H:%M:%S UTC}", secret]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_tutorials_user_signs_in_with_the_old_password_and_the_enrolled_phone(
    house_cli: Cli, file: Path
) -> None:
    secret = "VV5ZGRYAZHVSG6A3GZNXQTRXXM7UIKMN" if file.name == "before.py" else SECRET

    house_cli.done("user", "import", str(file))

    clock = MovableClock(utc_now() + timedelta(seconds=30))
    with TestClient(create_app(house_cli.settings, clock=clock), base_url=BASE_URL) as client:
        without = token(client, "johndoe", "secret")
        signed_in = token(client, "johndoe", "secret" + oathtool(secret, clock.now))
        me = client.get("/users/me", headers=bearer(signed_in.json()))
    assert (without.status_code, signed_in.status_code) == (403, 200)
    assert me.json() == {
        "username": "johndoe",
        "email": "johndoe@example.com",
        "full_name": "John Doe",
        "disabled": False,
    }


def test_an_account_comes_over_whole(cli: Cli) -> None:
    record = user(
        "Alice", email="A@example.com", full_name=" Alice ", disabled=True, roles=["staff", "dev"],
        otp_secret=SECRET, digits=8, interval=60, age=3,
    )  # fmt: skip

    report = imported(cli, "users.json", [record])

    shown = cli.json("user", "show", "alice")
    assert (report["taken_over"], report["with_authenticator"]) == (1, 1)
    assert report["ignored_fields"] == ["age"]
    assert shown["username"] == "Alice"
    assert (shown["full_name"], shown["roles"], shown["disabled"]) == (
        "Alice",
        ["dev", "staff"],
        True,
    )
    assert [one["method"] for one in shown["factors"]] == ["totp"]
    assert cli.json("audit", "list", "--user", "alice")["events"][0]["type"] == "account.imported"


def test_codes_of_other_lengths_and_periods_go_on_working(house_cli: Cli) -> None:
    uri = f"otpauth://totp/Old:bob?secret={SECRET}&digits=8&period=60&algorithm=SHA256"
    imported(house_cli, "users.json", [user("bob", otp_secret=uri)])

    clock = MovableClock(utc_now() + timedelta(seconds=60))
    moment = f"{clock.now:%Y-%m-%d %H:%M:%S UTC}"
    code = subprocess.run(
        ["oathtool", "--totp=sha256", "-d8", "-s60s", "-b", "--now", moment, SECRET],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip

    with TestClient(create_app(house_cli.settings, clock=clock), base_url=BASE_URL) as client:
        assert token(client, "bob", "secret", otp=code).status_code == 200


def test_an_import_can_be_repeated(cli: Cli) -> None:
    first = imported(cli, "users.json", [user("alice"), user("bob")])

    again = imported(cli, "users.json", [user("alice"), user("ALICE"), user("carol")])
    failing = imported(cli, "users.json", [user("alice")], "--on-conflict", "fail")

    assert (first["taken_over"], again["taken_over"]) == (2, 1)
    assert [one["username"] for one in again["skipped"]] == ["alice"]
    assert reasons(again) == {"ALICE": "The file names this user a second time."}
    assert "already" in reasons(failing)["alice"]


def test_a_refused_record_leaves_the_others(cli: Cli) -> None:
    report = imported(
        cli,
        "users.json",
        [
            user("alice", email="alice@example.com"),
            user("twin", email="ALICE@example.com"),
            user("bad-secret", otp_secret="1189"),
            user("bob"),
        ],
    )

    assert report["taken_over"] == 2
    assert reasons(report) == {
        "twin": "Another account has this e-mail address.",
        "bad-secret": "Its `otp_secret` cannot be used: it is not base32.",
    }
    assert usernames(cli) == {"admin", "alice", "bob"}


def test_a_rehearsal_says_the_same_and_does_nothing(house_cli: Cli) -> None:
    records = [
        user("alice", email="alice@example.com", otp_secret=SECRET),
        user("twin", email="ALICE@example.com"),
        user("no hash", hashed_password="fakehashedsecret"),
        user("admin"),
        user("x@y"),
    ]

    rehearsed = imported(house_cli, "users.json", records, "--dry-run")
    before = usernames(house_cli)
    done = imported(house_cli, "users.json", records)

    assert before == {"admin"}
    assert rehearsed == {**done, "dry_run": True}
    assert (done["taken_over"], len(done["skipped"]), len(done["refused"])) == (1, 1, 3)


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"hashed_password": "fakehashedsecret"}, "no password hash of a known scheme"),
        ({"hashed_password": None}, "It has no password hash"),
        ({"hashed_password": 7}, "`hashed_password` is no text"),
        ({"hashed_password": None, "password": "in the clear"}, "never imported"),
        ({"hashed_password": "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$" + "A" * 43}, "Its"),
        ({"email": "nonsense"}, "e-mail address"),
        ({"email": ["a@example.com"]}, "`email` is no text"),
        ({"full_name": "A\x1b[2J"}, "printable"),
        ({"full_name": "x" * 256}, "at most 255"),
        ({"full_name": "\ud800"}, "printable"),
        ({"username": "a b"}, "no spaces"),
        ({"username": "x" * 65}, "at most 64"),
        ({"username": ""}, "no user name"),
        ({"disabled": "perhaps"}, "neither true nor false"),
        ({"roles": ["staff admin"]}, "A role begins"),
        ({"roles": {"a": 1}}, "no list of texts"),
        ({"roles": [f"r{n}" for n in range(33)]}, "more than 32"),
        ({"otp_secret": "MFRGGZDF"}, "shorter than 10 bytes"),
        ({"otp_secret": "otpauth://hotp/x?secret=" + SECRET}, "not for TOTP"),
        ({"otp_secret": SECRET, "digits": 9}, "neither six"),
        ({"otp_secret": SECRET, "period": "1"}, "period"),
        ({"otp_secret": SECRET, "algorithm": "MD5"}, "algorithm"),
        ({"otp_secret": SECRET, "totp_secret": "A" * 32}, "they differ"),
        ({"otp_uri": SECRET}, "no otpauth:// URI"),
        ({"mfa_secret": SECRET}, "`mfa_secret` seems to be about a second factor"),
        ({"is_2fa_enabled": True}, "`is_2fa_enabled` seems to be about a second factor"),
    ],
)
def test_a_record_is_refused_with_its_reason(
    house_cli: Cli, fields: dict[str, Any], reason: str
) -> None:
    report = imported(house_cli, "users.json", [user() | fields, user("good")])

    [refused] = report["refused"]
    assert reason in refused["reason"]
    assert SECRET not in refused["reason"]
    assert (refused["place"], report["taken_over"]) == ("record 1", 1)


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"password_hash": HASH, "hashed_password": ""}, {"has_password": True}),
        ({"password": HASH, "hashed_password": None}, {"has_password": True}),
        ({"is_active": False}, {"disabled": True}),
        ({"is_active": "true"}, {"disabled": False}),
        ({"roles": "staff, dev"}, {"roles": ["dev", "staff"]}),
        ({"role": "staff"}, {"roles": ["staff"]}),
        ({"email": "", "full_name": None}, {"email": None, "full_name": None}),
        ({"otp": SECRET.lower()}, {"factors": 1}),
        ({"secret": SECRET}, {"factors": 1}),
        ({"otp_auth_url": f"otpauth://totp/a?secret={SECRET}", "otp_base32": SECRET},
         {"factors": 1}),
        ({"otp_secret": SECRET, "otp_enabled": False}, {"factors": 0}),
        ({"otp_secret": "", "mfa_phone": None}, {"factors": 0}),
    ],
)  # fmt: skip
def test_fields_of_other_programs_are_understood(
    house_cli: Cli, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    report = imported(house_cli, "users.json", [user() | fields])

    shown = house_cli.json("user", "show", "johndoe")
    shown["factors"] = len(shown["factors"])
    assert report["refused"] == []
    assert {name: shown[name] for name in expected} == expected


def test_accounts_without_a_password_come_over_when_allowed(house_cli: Cli) -> None:
    report = imported(house_cli, "users.json", [{"username": "alice"}], "--allow-no-password")

    assert report["taken_over"] == 1
    assert house_cli.json("user", "show", "alice")["has_password"] is False


def test_administrators_are_named(house_cli: Cli) -> None:
    report = imported(house_cli, "users.json", [user("alice", roles=["admin"]), user("bob")])

    assert report["administrators"] == ["alice"]


def test_a_program_is_read_and_never_run(house_cli: Cli) -> None:
    program = f'''
import pathlib
pathlib.Path("was-run").touch()
fake_users_db = {{"old": {{"username": "old", "hashed_password": "{HASH}"}}}}
fake_users_db: dict = {{
    "johndoe": {{"username": "johndoe", "hashed_password": "{HASH}", "since": date(2020, 1, 1)}},
    "alice": {{"username": "alice", "hashed_password": get_password_hash("secret")}},
    "bob": make_user("bob"),
    name_of("carol"): {{"username": "carol", "hashed_password": "{HASH}"}},
    "dave": {{**base, "hashed_password": "{HASH}"}},
    "eve": {{"username": "mallory", "hashed_password": "{HASH}"}},
    "twice": {{"username": "twice", "hashed_password": "{HASH}", "hashed_password": ""}},
    **others,
}}
fake_users_db["frank"] = {{"username": "frank"}}
fake_users_db.update(more)
'''

    result = house_cli("user", "import", written(house_cli, "main.py", program))

    assert not (house_cli.folder / "was-run").exists()
    assert usernames(house_cli) == {"admin", "johndoe"}
    refused = [line for line in result.stderr.splitlines() if line.startswith("Refused")]
    lines = [int(line.split()[2].rstrip(":")) for line in refused]
    assert lines == [7, 8, 9, 10, 11, 12, 13]
    assert "never run" in refused[0]
    assert "see line 15, 16" in result.stderr
    assert (result.exit_code, "Taken over: 1" in result.stdout) == (1, True)


@pytest.mark.parametrize(
    "name, content",
    [
        ("main.py", "fake_users_db = load_users()"),
        ("main.py", "users = {}"),
        ("main.py", "this is no program"),
        ("main.py", b"\0"),
        ("main.py", "(" * 1000),
        ("users.json", "{"),
        ("users.json", '"text"'),
        ("users.json", "[" * 100_000),
        ("users.json", b"\xff\xfe[\0]\0"),
        ("users.csv", "name;mail\n"),
        ("users.csv", "username,username\n"),
        ("users.csv", ""),
        ("users.jsonl", "x" * (1024 * 1024 + 1)),
        ("users.txt", "username\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(
    house_cli: Cli, name: str, content: str | bytes
) -> None:
    report = imported(house_cli, name, content)

    assert report["problem"]
    assert usernames(house_cli) == {"admin"}


def test_a_file_that_is_not_there_is_wrong_usage(house_cli: Cli) -> None:
    house_cli.refused("user", "import", "nowhere.json", code=2)


def test_json_may_name_users_by_key_and_loses_none_of_two(house_cli: Cli) -> None:
    text = f'{{"alice": {{"hashed_password": "{HASH}"}}, "alice": {{"hashed_password": "{HASH}"}}}}'

    report = imported(house_cli, "users.json", text)

    assert report["taken_over"] == 1
    assert reasons(report) == {"alice": "The file names this user a second time."}


def test_every_line_of_json_stands_for_itself(house_cli: Cli) -> None:
    lines = [
        json.dumps(user("alice")),
        "",
        "nonsense",
        "[1]",
        '{"username": "twice", "username": "twice"}',
        json.dumps(user("bob")),
    ]

    report = imported(house_cli, "users.jsonl", "\n".join(lines))

    assert report["taken_over"] == 2
    assert [one["place"] for one in report["refused"]] == ["line 3", "line 4", "line 5"]


def test_lines_of_json_are_known_by_their_form_too(house_cli: Cli) -> None:
    lines = [json.dumps(user("alice")), json.dumps(user("bob"))]

    report = imported(house_cli, "users.json", "\n".join(lines) + "\n")

    assert (report["taken_over"], report["refused"]) == (2, [])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_as_spreadsheets_write_it(house_cli: Cli, delimiter: str) -> None:
    rows = [
        ["username", "full_name", "hashed_password"],
        ["alice", '"Liddell, Alice; A\tB"'.replace("\t", " "), HASH],
        ["bob", "Bob"],
        ["carol", '"Caro\nlina"', HASH],
        ["dave", '"x"y', HASH],
        ["erwin", "Erwin", HASH],
    ]
    text = "\r\n".join(delimiter.join(row) for row in rows)

    report = imported(house_cli, "users.csv", b"\xef\xbb\xbf" + text.encode())

    assert usernames(house_cli) == {"admin", "alice", "erwin"}
    assert [one["place"] for one in report["refused"]] == ["line 3", "line 4", "line 6"]
    assert house_cli.json("user", "show", "alice")["full_name"] == "Liddell, Alice; A B"


def test_bytes_that_are_no_text_refuse_their_record_only(house_cli: Cli) -> None:
    text = b"username,full_name,hashed_password\n"
    text += b"alice,\xff\xfe," + HASH.encode() + b"\nbob,Bob," + HASH.encode()

    report = imported(house_cli, "users.csv", text)

    assert (list(reasons(report)), report["taken_over"]) == (["alice"], 1)


def test_a_record_cannot_steer_the_terminal(house_cli: Cli) -> None:
    records = [user("\x1b[2J") | {"\x1b[31m": 1}, user("bob") | {"\x9b": 1}]
    name = written(house_cli, "users.json", records)

    result = house_cli("user", "import", name)

    assert "\\x1b[2J" in result.stderr
    assert (result.stdout + result.stderr).replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_a_long_file_is_read_in_memory_that_does_not_grow(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("w", encoding="utf-8") as file:
        file.write("username,hashed_password\n" if name == "users.csv" else "")
        for n in range(100_000):
            line = f"user{n},{HASH}" if name == "users.csv" else json.dumps(user(f"user{n}"))
            file.write(line + "\n")

    tracemalloc.start()
    records = read_records(path, format_of(path, Format.AUTO), lambda fraction: None)
    count = sum(isinstance(record, Found) for record in records)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 100_000
    assert peak < path.stat().st_size / 4


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    for name, content in {
        "users.csv": f"username,hashed_password\na,{HASH}\nb,{HASH}\n",
        "users.json": json.dumps([user("a"), user("b")]),
    }.items():
        path = tmp_path / name
        path.write_text(content, "utf-8")
        fractions: list[float] = []

        list(read_records(path, format_of(path, Format.AUTO), fractions.append))

        assert fractions[-1] == 1.0
        assert fractions == sorted(fractions)
