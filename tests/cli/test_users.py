"""``twinlock user`` does what an operator says, and asks where it cannot be undone."""

import pytest
from fastapi.testclient import TestClient

from tests.cli.conftest import Cli
from tests.cli.terminal import at_terminal, run
from tests.support.house import BASE_URL, bearer, token
from twinlock.login_server import create_app

PASSWORD = "correct horse battery staple"
CREATE = ("user", "create", "johndoe", "--email", "johndoe@example.com", "--full-name", "John Doe")


@pytest.fixture
def johndoe(cli: Cli) -> Cli:
    """An installation in which John has an account."""
    cli.done(*CREATE, "--password-stdin", input=PASSWORD)
    return cli


@pytest.fixture
def house_cli(sqlite_cli: Cli) -> Cli:
    """An initialised installation on SQLite, for what no database can change."""
    sqlite_cli.done("init")
    return sqlite_cli


def sign_in(cli: Cli, password: str = PASSWORD, username: str = "johndoe") -> int:
    """Sign in at the token endpoint; return the status."""
    with TestClient(create_app(cli.settings), base_url=BASE_URL) as client:
        return int(token(client, username, password).status_code)


def test_the_command_of_the_contract_makes_an_account_that_signs_in(house_cli: Cli) -> None:
    told = run(
        [*CREATE, "--password-stdin"],
        folder=house_cli.folder,
        environ=house_cli.environ,
        stdin=f"{PASSWORD}\n",
    )

    assert (told.code, told.stdout, told.stderr) == (0, "Created the account johndoe.\n", "")
    with TestClient(create_app(house_cli.settings), base_url=BASE_URL) as client:
        signed_in = token(client, "johndoe", PASSWORD)
        me = client.get("/users/me", headers=bearer(signed_in.json()))
    assert me.json() == {
        "username": "johndoe",
        "email": "johndoe@example.com",
        "full_name": "John Doe",
        "disabled": False,
    }


def test_a_password_is_typed_twice_and_never_shown(house_cli: Cli) -> None:
    told = at_terminal(
        ["user", "create", "johndoe"],
        [("Password: ", PASSWORD), ("confirmation: ", PASSWORD)],
        folder=house_cli.folder,
        environ=house_cli.environ,
    )

    assert told.code == 0, told.stderr
    assert PASSWORD not in told.stdout + told.stderr
    assert sign_in(house_cli) == 200


@pytest.mark.parametrize(
    "password, sentence",
    [
        ("7chars.", "The password is too short. It needs 8 characters or more."),
        ("x" * 1025, "The password is too long. It may have 1024 characters."),
        ("password123", "This is one of the most common passwords."),
        ("johndoe1", "The password is too close to your name"),
    ],
)
def test_a_refused_password_is_told_in_a_sentence(
    house_cli: Cli, password: str, sentence: str
) -> None:
    told = house_cli.refused(*CREATE, "--password-stdin", input=password)

    assert sentence in told
    assert password not in told
    assert "johndoe" not in house_cli.done("user", "list")


def test_a_short_password_is_taken_with_a_hint(house_cli: Cli) -> None:
    short = house_cli(*CREATE, "--password-stdin", input="fourteen chars")
    long = house_cli("user", "create", "alice", "--password-stdin", input="fifteen of them")

    assert (short.exit_code, long.exit_code) == (0, 0)
    assert "15 characters or more are advised" in short.stderr
    assert long.stderr == ""


def test_nobody_signs_in_to_an_account_without_a_password(cli: Cli) -> None:
    shown = cli.done("user", "create", "johndoe", "--no-password")

    assert "no password" in shown
    assert cli.json("user", "show", "johndoe")["has_password"] is False
    assert sign_in(cli, "") == 400


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password-stdin", "--no-password"],
        [],  # nobody to ask
        ["--no-password", "--role", "two words"],
        ["--no-password", "--role", "staff admin"],
        ["--no-password", "--full-name", "John\x1b[2JDoe"],
        ["--no-password", "--full-name", "x" * 256],
    ],
)
def test_wrong_usage_makes_nothing(house_cli: Cli, arguments: list[str]) -> None:
    house_cli.refused("user", "create", "johndoe", *arguments, code=2)

    assert "johndoe" not in house_cli.done("user", "list")


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("john@doe", "contains no @"),
        ("JOHNDOE", "Another account has this user name"),
        ("john\x1b[2Jdoe", "invisible or unknown character"),
    ],
)
def test_a_refused_name_is_told_in_a_sentence(house_cli: Cli, name: str, sentence: str) -> None:
    house_cli.done("user", "create", "johndoe", "--no-password")

    told = house_cli.refused("user", "create", name, "--no-password")

    assert sentence in told
    assert "\x1b" not in told


def test_accounts_are_listed_page_by_page(cli: Cli) -> None:
    for name in ("alice", "bob", "carol"):
        cli.done("user", "create", name, "--no-password")

    names: list[str] = []
    more: list[str] = []
    for _ in range(4):
        page = cli.json("user", "list", "--limit", "1", *more)
        names += [one["username"] for one in page["users"]]
        more = ["--cursor", page["next_cursor"]]

    assert names == ["admin", "alice", "bob", "carol"]
    assert cli.json("user", "list", "--limit", "1", *more)["users"] == []


@pytest.mark.parametrize("cursor", ["nonsense", "", "MjAyNg", "MjAyNi0wMS0wMSBhYmM"])
def test_what_is_no_cursor_is_wrong_usage(house_cli: Cli, cursor: str) -> None:
    assert "no cursor" in house_cli.refused("user", "list", "--cursor", cursor, code=2)


def test_accounts_are_found_by_their_holders_names_too_page_by_page(johndoe: Cli) -> None:
    """As on the console and in the API: by user name, then by address, then by name."""
    johndoe.done("user", "create", "jonas", "--no-password")
    johndoe.done("user", "create", "alice", "--full-name", "Jo Alice", "--no-password")

    names: list[str] = []
    more: list[str] = []
    for _ in range(3):
        page = johndoe.json("user", "list", "--search", "jo", "--limit", "1", *more)
        names += [one["username"] for one in page["users"]]
        more = ["--cursor", page["next_cursor"]]

    assert names == ["johndoe", "jonas", "alice"]
    assert "no cursor" in johndoe.refused("user", "list", *more, code=2)


def test_accounts_are_found_by_their_beginning(johndoe: Cli) -> None:
    johndoe.done("user", "create", "alice", "--email", "jo@example.com", "--no-password")

    found = johndoe.json("user", "list", "--search", "JO")

    assert {one["username"] for one in found["users"]} == {"johndoe", "alice"}


def test_an_account_is_shown_with_all_that_hangs_on_it(johndoe: Cli) -> None:
    sign_in(johndoe)
    sign_in(johndoe, "wrong password")

    shown = johndoe.json("user", "show", "johndoe@example.com")

    assert shown["username"] == "johndoe"
    assert (shown["sessions"], shown["factors"], shown["recovery_codes_left"]) == (1, [], 0)
    assert shown["last_sign_in"]["ip"] == "testclient" or shown["last_sign_in"]["at"]
    assert shown["last_denied"]["reason"] == "wrong_password"
    assert "wrong_password" in johndoe.done("user", "show", "johndoe")


@pytest.mark.parametrize(
    "command",
    [
        ["user", "show"],
        ["user", "disable"],
        ["user", "enable"],
        ["user", "unlock"],
        ["user", "delete", "--yes"],
        ["user", "set", "--full-name", "x"],
        ["factor", "list"],
        ["factor", "reset", "--yes"],
        ["session", "list"],
        ["session", "revoke", "--all"],
    ],
)
def test_an_account_that_does_not_exist_is_refused(house_cli: Cli, command: list[str]) -> None:
    told = house_cli.refused(*command, "no\x1b[31mbody")

    assert "There is no account no\\x1b[31mbody." in told


def test_profile_and_password_are_set_at_once(johndoe: Cli) -> None:
    johndoe.done(
        *("user", "set", "johndoe", "--email", "john@example.org", "--full-name", ""),
        "--password-stdin",
        input="another horse battery",
    )

    shown = johndoe.json("user", "show", "johndoe")
    assert (shown["email"], shown["full_name"]) == ("john@example.org", None)
    assert (sign_in(johndoe), sign_in(johndoe, "another horse battery")) == (400, 200)


def test_a_refused_password_leaves_the_rest_unset(johndoe: Cli) -> None:
    arguments = ("user", "set", "johndoe", "--full-name", "Other", "--password-stdin")

    johndoe.refused(*arguments, input="short")

    assert johndoe.json("user", "show", "johndoe")["full_name"] == "John Doe"


def test_an_address_of_another_account_is_refused(johndoe: Cli) -> None:
    johndoe.done("user", "create", "alice", "--no-password")

    told = johndoe.refused("user", "set", "alice", "--email", "JohnDoe@example.com")

    assert "Another account" in told


def test_setting_nothing_is_wrong_usage(johndoe: Cli) -> None:
    assert "Say what to set" in johndoe.refused("user", "set", "johndoe", code=2)


def test_roles_are_added_and_removed(johndoe: Cli) -> None:
    before = johndoe.json("user", "show", "johndoe")["roles"]

    changes = ("--add-role", "staff", "--add-role", "admin", "--remove-role", "absent")
    johndoe.done("user", "set", "johndoe", *changes, "--yes")
    johndoe.done("user", "set", "johndoe", "--remove-role", "staff", "--yes")

    assert (before, johndoe.json("user", "show", "johndoe")["roles"]) == ([], ["admin"])


def test_the_last_administrator_stays(johndoe: Cli) -> None:
    for command in (
        ["user", "set", "admin", "--remove-role", "admin", "--yes"],
        ["user", "disable", "admin"],
        ["user", "delete", "admin", "--yes"],
    ):
        assert "last administrator" in johndoe.refused(*command)

    assert johndoe.json("user", "show", "admin")["roles"] == ["admin"]


def test_a_disabled_account_is_kept_out_until_it_is_enabled(johndoe: Cli) -> None:
    disabled = johndoe.json("user", "disable", "johndoe")
    while_disabled = sign_in(johndoe)
    again = johndoe.done("user", "disable", "johndoe")
    johndoe.done("user", "enable", "johndoe")

    assert (disabled["disabled"], while_disabled) == (True, 400)
    assert "disabled" in again
    assert sign_in(johndoe) == 200


def test_unlocking_lets_a_locked_account_in_again(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts of the account are forgotten; that of the network goes on."""
    monkeypatch.setenv("TWINLOCK_PASSWORD_TRIES_STRANGERS_24H", "2")
    cli.done(*CREATE, "--password-stdin", input=PASSWORD)
    wrong = [sign_in(cli, "wrong password") for _ in range(3)]

    locked = sign_in(cli)
    cli.done("user", "unlock", "johndoe")

    assert wrong[:2] == [400, 400]
    assert (locked, sign_in(cli)) == (429, 200)


def test_deletion_is_confirmed_by_a_person(house_cli: Cli) -> None:
    house_cli.done("user", "create", "johndoe", "--no-password")
    place = {"folder": house_cli.folder, "environ": house_cli.environ}

    no = at_terminal(["user", "delete", "johndoe"], [("[y/N]:", "n")], **place)  # type: ignore[arg-type]
    there = "johndoe" in house_cli.done("user", "list")
    yes = at_terminal(["user", "delete", "johndoe"], [("[y/N]:", "y")], **place)  # type: ignore[arg-type]

    assert (no.code, there, yes.code) == (1, True, 0)
    assert "johndoe" not in house_cli.done("user", "list")


def test_a_script_deletes_without_being_asked(johndoe: Cli) -> None:
    deleted = johndoe.json("user", "delete", "johndoe")

    assert deleted["deleted"] is True
    assert "johndoe" not in johndoe.done("user", "list")
    assert sign_in(johndoe) == 400


def test_what_the_operator_does_is_in_the_log(johndoe: Cli) -> None:
    johndoe.done("user", "disable", "johndoe")

    events = johndoe.json("audit", "list", "--user", "johndoe")["events"]

    assert [one["type"] for one in events] == ["account.disabled", "account.created"]
    assert all(one["actor"].startswith("cli:") for one in events)
