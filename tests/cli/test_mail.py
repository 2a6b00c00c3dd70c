"""``twinlock mail``: what an operator sees of the mail server and of the outbox."""

from datetime import timedelta

import pytest

from tests.cli.conftest import Cli
from twinlock.composition import build_flows, build_parts, close_parts
from twinlock.flows import mailing
from twinlock.mail import store as outbox
from twinlock.mail.letters import Kind, Letter


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


def test_the_outbox_is_listed_and_a_mail_tried_again(cli: Cli) -> None:
    cli.done("user", "create", "john", "--email", "john@example.com", "--no-password")
    settings = cli.settings
    parts = build_parts(settings)
    try:
        account = build_flows(parts, settings).administration.find("john")
        assert account is not None
        letter = Letter(Kind.TEST, "john@example.com", {"at": "now"})
        now = parts.clock()
        lifetime = timedelta(days=1)
        parts.database.transaction(
            mailing.post, parts, letter, subject=account.subject, lifetime=lifetime, now=now
        )
        [mail] = parts.database.reading(outbox.list_due, now=now, limit=9)
        parts.database.transaction(outbox.give_up, mail, why="550 \x1b[31mno", now=now)
    finally:
        close_parts(parts)
    [told] = cli.json("mail", "list", "--state", "given_up")["mails"]
    assert (told["id"], told["state"]) == (mail.id, "given_up")
    table = cli.done("mail", "list")
    assert "john" in table
    assert "\x1b" not in table

    assert cli.json("mail", "retry", mail.id) == {"id": mail.id}

    assert cli.json("mail", "list", "--state", "given_up")["mails"] == []
    assert cli.json("mail", "list", "--state", "waiting")["mails"][0]["id"] == mail.id
    assert "cannot be tried again" in cli.refused("mail", "retry", mail.id)
    assert "cannot be tried again" in cli.refused("mail", "retry", "\x1b[31mx")
