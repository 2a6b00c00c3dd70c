"""From the outbox to a mail server: each mail once, again after a failure, given up in the end."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Barrier
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import text

from tests.support.home import Home
from tests.support.house import House
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, EventType
from twinlock.config.settings import load_master_keys
from twinlock.core.errors import ConfigurationError
from twinlock.flows import mailing
from twinlock.flows.delivering import Delivering
from twinlock.flows.rotation import SecretRotation
from twinlock.mail import store as outbox
from twinlock.mail.letters import Kind, Letter, Letterhead
from twinlock.mail.transport import MailError, MailRefusedError, SmtpTransport
from twinlock.testing.clock import MovableClock
from twinlock.testing.mail import MailTrap

JOHN = "johndoe@example.com"


class Mailbox:
    """What aiosmtpd hands its mails to; answers as told."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.received.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.answer


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def smtp_url(mailbox: Mailbox) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"smtp://127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def quiet(smtp_url: str, settle: Callable[..., Home]) -> Home:
    """A home that mails by SMTP, when a test says so."""
    home = settle(smtp_url=smtp_url)
    home.house.runtime.delivery.close()
    home.house.runtime.delivery.work()
    return home


def ask(home: Home) -> None:
    home.client.post("/api/recovery/password", json={"email": JOHN})


def bodies(house: House) -> list[bytes | None]:
    with house.database.engine.connect() as connection:
        return list(connection.execute(text("SELECT sealed FROM outbox")).scalars())


def given_up(house: House) -> list[Any]:
    return list(house.database.reading(audit.list_events, limit=9, type_=EventType.MAIL_GIVEN_UP))


def test_a_mail_goes_to_the_server_and_is_wiped(quiet: Home, mailbox: Mailbox) -> None:
    mailbox.received.clear()
    ask(quiet)

    assert quiet.house.runtime.delivery.work() == 1

    (message,) = mailbox.received
    assert (message["To"], message["From"]) == (JOHN, "no-reply@localhost")
    assert message["Auto-Submitted"] == "auto-generated"
    assert set(bodies(quiet.house)) == {None}


def test_what_is_in_the_outbox_says_nothing_to_a_thief(quiet: Home) -> None:
    ask(quiet)

    (waiting,) = [body for body in bodies(quiet.house) if body]
    assert JOHN.encode() not in waiting


def test_a_server_that_is_busy_is_asked_again_later(quiet: Home, mailbox: Mailbox) -> None:
    delivery = quiet.house.runtime.delivery
    mailbox.received.clear()
    mailbox.answer = "451 later"
    ask(quiet)
    assert delivery.work() == 0
    mailbox.answer = "250 OK"
    assert delivery.work() == 0

    quiet.house.clock.advance(seconds=30)

    assert delivery.work() == 1
    assert len(mailbox.received) == 1


def test_a_mail_that_is_refused_for_good_is_given_up(quiet: Home, mailbox: Mailbox) -> None:
    mailbox.answer = "550 no such mailbox"
    ask(quiet)

    quiet.house.runtime.delivery.work()
    quiet.house.clock.advance(hours=1)
    quiet.house.runtime.delivery.work()

    assert set(bodies(quiet.house)) == {None}
    assert len(given_up(quiet.house)) == 1


def test_a_link_that_has_expired_is_not_mailed_any_more(quiet: Home, mailbox: Mailbox) -> None:
    mailbox.received.clear()
    mailbox.answer = "451 later"
    ask(quiet)
    quiet.house.runtime.delivery.work()
    mailbox.answer = "250 OK"
    quiet.house.clock.advance(minutes=30)

    assert quiet.house.runtime.delivery.work() == 0

    assert mailbox.received == []
    assert set(bodies(quiet.house)) == {None}
    assert len(given_up(quiet.house)) == 1


def test_a_worker_that_died_loses_no_mail(quiet: Home, mailbox: Mailbox) -> None:
    parts, house = quiet.house.runtime.parts, quiet.house
    mailbox.received.clear()
    letter = Letter(Kind.TEST, JOHN, {"at": "now"})
    parts.database.transaction(
        mailing.post, parts, letter, subject=None, lifetime=mailing.NOTICE_LIFETIME, now=house.now
    )
    (mail,) = parts.database.reading(outbox.list_due, now=house.now, limit=9)
    assert parts.database.transaction(outbox.claim, mail, now=house.now)
    assert house.runtime.delivery.work() == 0

    house.clock.advance(seconds=outbox.LEASE.total_seconds())

    assert house.runtime.delivery.work() == 1
    assert len(mailbox.received) == 1


def test_several_workers_deliver_each_mail_once(house: House) -> None:
    with house.open():
        john = house.create()
        house.runtime.delivery.close()
        parts = house.runtime.parts
        for number in range(12):
            letter = Letter(Kind.TEST, f"user{number}@example.com", {"at": "now"})
            parts.database.transaction(
                mailing.post,
                parts,
                letter,
                subject=john.subject,
                lifetime=mailing.NOTICE_LIFETIME,
                now=house.now,
            )
        delivering = Delivering(parts, {})
        ready = Barrier(4)

        def work() -> int:
            ready.wait(30)
            return delivering.deliver_due(house.clock, stop=lambda: False)

        with ThreadPoolExecutor(4) as threads:
            delivered = list(threads.map(lambda _: work(), range(4)))

        assert sum(delivered) == 12
        assert len(MailTrap(lambda: house.auth).messages()) == 12


def test_waiting_mails_follow_the_master_keys(quiet: Home, mailbox: Mailbox) -> None:
    house = quiet.house
    mailbox.received.clear()
    ask(quiet)
    path = house.settings.secret_keys_file
    rotation = SecretRotation(house.runtime.parts, pause=lambda: None)
    newest = house.runtime.parts.keyring.newest_id
    rotation.add_key(path, newest=load_master_keys(house.settings)[0])
    rotation.reseal(Caller(), progress=lambda fraction: None)

    assert house.runtime.parts.keyring.newest_id != newest
    assert not any(house.runtime.parts.keyring.is_stale_seal(one) for one in bodies(house) if one)
    assert house.runtime.delivery.work() == 1


def test_a_server_elsewhere_must_encrypt(smtp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinlock.mail.transport._LOOPBACK", frozenset())
    message = Letterhead("Twinlock", "a@example.com", "https://example.com").message(
        Letter(Kind.TEST, JOHN, {"at": "now"}), message_id="x", now=_now()
    )

    with pytest.raises(MailError) as caught:
        SmtpTransport(smtp_url).send(message)

    assert not isinstance(caught.value, MailRefusedError)


def _now() -> datetime:
    return MovableClock()()


def test_a_server_that_is_not_there_is_an_error_to_try_again() -> None:
    message = Letterhead("Twinlock", "a@example.com", "https://example.com").message(
        Letter(Kind.TEST, JOHN, {"at": "now"}), message_id="x", now=_now()
    )

    with pytest.raises(MailError):
        SmtpTransport("smtp://127.0.0.1:1").send(message)


def test_a_header_cannot_be_bent() -> None:
    letterhead = Letterhead("Twinlock", "a@example.com", "https://example.com")
    letter = Letter(Kind.TEST, "a@example.com\r\nBcc: b@example.com", {"at": "now"})

    with pytest.raises(ValueError, match="linefeed"):
        letterhead.message(letter, message_id="x", now=_now())


def test_every_letter_can_be_written() -> None:
    letterhead = Letterhead("Twinlock", "T <a@example.com>", "https://example.com")
    names = ("username", "link", "until", "due", "at", "label", "method", "code", "address")

    values = dict.fromkeys(names, "x")

    for kind in Kind:
        letter = Letter.unpacked(Letter(kind, JOHN, values).packed())
        assert letterhead.message(letter, message_id="x", now=_now()).as_bytes()


def test_a_url_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError):
        SmtpTransport("smtp://mail.example.com:many")


def test_a_mailbox_address_is_needed_as_sender(sqlite_house: House) -> None:
    for wrong in ("nobody", "a@", "a b@example.com", "a@example.com\nBcc: b@example.com"):
        with pytest.raises(ConfigurationError, match="TWINLOCK_MAIL_FROM"):
            sqlite_house.again(mail_from=wrong)
