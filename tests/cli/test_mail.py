"""``twinlock mail test``: what an operator sees of the mail server."""

import pytest

from tests.cli.conftest import Cli


def test_a_test_mail_becomes_a_file_in_development(cli: Cli) -> None:
    cli.done("init")

    facts = cli.json("mail", "test", "you@example.com")

    assert facts["to"] == "you@example.com"
    (file,) = (cli.settings.data_dir / "mail").glob("*.eml")
    assert b"To: you@example.com" in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


def test_what_is_no_address_is_refused(cli: Cli) -> None:
    cli.done("init")

    assert "looks like" in cli.refused("mail", "test", "nobody")


def test_a_mail_server_that_is_not_there_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.done("init")
    monkeypatch.setenv("TWINLOCK_SMTP_URL", "smtp://user:hushhush@127.0.0.1:1")

    said = cli.refused("mail", "test", "you@example.com")

    assert "SMTPConnectError" in said
    assert "hushhush" not in said
