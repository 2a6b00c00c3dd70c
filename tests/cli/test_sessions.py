"""``twinlock session`` lists and revokes sessions, at once."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.cli.conftest import Cli
from tests.support.house import BASE_URL, bearer, token
from twinlock.login_server import create_app

PASSWORD = "correct horse battery staple"


@pytest.fixture
def server(cli: Cli) -> Iterator[TestClient]:
    """A running server of an installation in which John and Alice have accounts."""
    for name in ("johndoe", "alice"):
        cli.done("user", "create", name, "--password-stdin", input=PASSWORD)
    with TestClient(create_app(cli.settings), base_url=BASE_URL) as client:
        yield client


def sign_in(server: TestClient, username: str = "johndoe") -> dict[str, str]:
    """Sign in and return the Authorization header."""
    return bearer(token(server, username, PASSWORD).json())


def status(server: TestClient, headers: dict[str, str]) -> int:
    return int(server.get("/users/me", headers=headers).status_code)


def test_a_revoked_session_is_refused_at_the_next_request(cli: Cli, server: TestClient) -> None:
    """The server is another instance over the same data folder: it sees the mark."""
    old = sign_in(server)
    new = sign_in(server)
    before = (status(server, old), status(server, new))
    newest, oldest = (one["id"] for one in cli.json("session", "list", "johndoe")["sessions"])

    cli.done("session", "revoke", "johndoe", oldest)

    assert before == (200, 200)
    assert (status(server, old), status(server, new)) == (401, 200)
    assert newest in cli.done("session", "list", "johndoe")


def test_all_sessions_of_an_account_are_revoked_and_nobody_elses(
    cli: Cli, server: TestClient
) -> None:
    john, alice = sign_in(server), sign_in(server, "alice")
    sign_in(server)

    revoked = cli.json("session", "revoke", "johndoe", "--all")
    again = cli.json("session", "revoke", "johndoe", "--all")

    assert (revoked, again) == ({"revoked": 2}, {"revoked": 0})
    assert (status(server, john), status(server, alice)) == (401, 200)


def test_a_session_of_somebody_else_is_not_revoked(cli: Cli, server: TestClient) -> None:
    headers = sign_in(server, "alice")
    [one] = cli.json("session", "list", "alice")["sessions"]

    told = cli.refused("session", "revoke", "johndoe", one["id"])

    assert "no such session" in told
    assert status(server, headers) == 200


def test_a_session_is_shown_with_where_it_comes_from(cli: Cli, server: TestClient) -> None:
    server.headers["User-Agent"] = "Browser/1"
    sign_in(server)

    [one] = cli.json("session", "list", "johndoe")["sessions"]

    assert (one["acr"], one["amr"], one["user_agent"]) == ("aal1", ["pwd"], "Browser/1")
    assert one["created_at"].endswith("Z")


def test_a_client_cannot_steer_the_terminal_by_its_name(cli: Cli, server: TestClient) -> None:
    """U+009B begins an escape sequence just as ESC and a bracket do."""
    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
    server.post("/token", data=form, headers=[(b"User-Agent", b"evil\x9b2J")])

    shown = cli.done("session", "list", "johndoe") + cli.done("audit", "list")
    written = cli.done("audit", "export") + cli.done("audit", "export", "--format", "csv")

    assert "evil" in shown
    assert "evil" in written
    assert all(character.isprintable() for character in (shown + written).replace("\n", ""))


@pytest.mark.parametrize("arguments", [[], ["0" * 32, "--all"]])
def test_either_one_session_or_all_are_named(sqlite_cli: Cli, arguments: list[str]) -> None:
    sqlite_cli.done("init")

    told = sqlite_cli.refused("session", "revoke", "admin", *arguments, code=2)

    assert "Name one session, or say --all" in told
