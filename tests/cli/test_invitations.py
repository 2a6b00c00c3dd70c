"""``twinlock user invite``: mails a link, and shows it in development only."""

import pytest
from fastapi.testclient import TestClient

from tests.cli.conftest import Cli
from tests.support.house import BASE_URL
from twinlock.login_server import create_app

INVITE = ("user", "invite", "jane", "--email", "jane@example.com", "--role", "editor")


@pytest.fixture
def inviting(sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    sqlite_cli.done("init")
    monkeypatch.setenv("TWINLOCK_INVITATIONS_ENABLED", "true")
    return sqlite_cli


def test_it_is_refused_where_it_is_switched_off(sqlite_cli: Cli) -> None:
    sqlite_cli.done("init")

    assert "TWINLOCK_INVITATIONS_ENABLED" in sqlite_cli.refused(*INVITE)


def test_an_invitation_is_sent_listed_accepted_and_revoked(inviting: Cli) -> None:
    invited = inviting.json(*INVITE)
    assert (invited["username"], invited["roles"]) == ("jane", ["editor"])
    assert [one["email"] for one in inviting.json("user", "invitations")["invitations"]] == [
        "jane@example.com"
    ]
    inviting.done("user", "uninvite", "jane")
    assert inviting.json("user", "invitations")["invitations"] == []
    inviting.refused("user", "uninvite", "jane")

    token = inviting.json(*INVITE)["link"].rpartition("/")[2]

    with TestClient(create_app(inviting.settings), base_url=BASE_URL) as client:
        body = {"token": token, "password": "correct horse battery staple"}
        accepted = client.post("/api/invitations/confirm", json=body)
    assert (accepted.status_code, accepted.json()["username"]) == (200, "jane")
    assert "taken" not in inviting.done("user", "show", "jane")
    assert "Another account" in inviting.refused(*INVITE)
