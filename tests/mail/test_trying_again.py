"""A mail that was given up is tried again by an operator, once, and never after it expired."""

import json
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest

from tests.mail.test_delivery import JOHN, Mailbox, ask, given_up, mailbox, quiet, smtp_url
from tests.support.home import Home
from tests.support.house import OPERATOR, House
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.flows.mail_administration import NOT_AGAIN, State
from twinlock.flows.outcomes import Refused
from twinlock.mail import store as outbox

__all__ = ["mailbox", "quiet", "smtp_url"]


def shown(house: House, state: State | None = None) -> list[Any]:
    found = house.runtime.mail_administration.list_mails(state, cursor=None, limit=50)
    return list(found.mails)


def again(house: House, mail_id: str) -> Refused | None:
    return house.runtime.mail_administration.try_again(mail_id, OPERATOR, now=house.now)


@pytest.fixture
def refused(quiet: Home, mailbox: Mailbox) -> Any:
    """A mail that the mail server refused for good."""
    mailbox.answer = "550 5.7.1 spam: see https://example.com/recovery/secret-token now"
    ask(quiet)
    quiet.house.runtime.delivery.work()
    quiet.house.runtime.delivery.work()
    mailbox.received.clear()
    mailbox.answer = "250 OK"
    [mail] = shown(quiet.house, State.GIVEN_UP)
    return mail


def test_what_was_given_up_says_why_without_a_link(quiet: Home, refused: Any) -> None:
    assert "550" in refused.error
    assert "secret-token" not in refused.error
    [event] = given_up(quiet.house)
    assert "secret-token" not in event.details


def test_it_is_not_tried_by_itself(quiet: Home, mailbox: Mailbox, refused: Any) -> None:
    for _ in range(20):
        quiet.house.clock.advance(minutes=1)
        assert quiet.house.runtime.delivery.work() == 0
    assert mailbox.received == []


def test_it_is_delivered_once_when_somebody_has_it_tried_again(
    quiet: Home, mailbox: Mailbox, refused: Any
) -> None:
    house = quiet.house
    house.clock.advance(minutes=5)

    assert again(house, refused.id) is None

    assert house.runtime.delivery.work() == 1
    assert house.runtime.delivery.work() == 0
    assert len(mailbox.received) == 1
    assert again(house, refused.id) == NOT_AGAIN
    [mail] = [one for one in shown(house) if one.id == refused.id]
    assert (mail.delivered_at, mail.is_held, mail.error) == (house.now, False, None)
    [event] = house.database.reading(audit.list_events, limit=9, type_=EventType.MAIL_TRIED_AGAIN)
    assert (event.actor, json.loads(event.details)) == (OPERATOR.actor, {"kind": refused.kind})


def test_it_is_wiped_when_its_link_would_be_dead(
    quiet: Home, mailbox: Mailbox, refused: Any
) -> None:
    house = quiet.house
    house.clock.advance(seconds=(refused.expires_at - house.now).total_seconds())

    assert again(house, refused.id) == NOT_AGAIN
    house.runtime.delivery.work()

    assert not any(mail.is_held for mail in shown(house))
    assert [one.id for one in shown(house, State.GIVEN_UP)] == [refused.id]
    assert len(given_up(house)) == 1  # told once
    assert mailbox.received == []


def test_a_mail_that_somebody_is_sending_is_not_sent_twice(quiet: Home, mailbox: Mailbox) -> None:
    house = quiet.house
    ask(quiet)
    [mail] = house.database.reading(outbox.list_due, now=house.now, limit=9)
    assert house.database.transaction(outbox.claim, mail, now=house.now)

    for _ in range(5):
        assert again(house, mail.id) == NOT_AGAIN
        house.clock.advance(minutes=1)


def test_a_mail_that_waits_for_long_is_tried_at_once(quiet: Home, mailbox: Mailbox) -> None:
    house = quiet.house
    mailbox.answer = "451 later"
    ask(quiet)
    for _ in range(6):
        house.runtime.delivery.work()
        [mail] = shown(house, State.WAITING)
        if mail.due_at > house.now + outbox.LEASE:
            break
        house.clock.advance(seconds=(mail.due_at - house.now).total_seconds())
    [mail] = shown(house, State.WAITING)
    assert "451" in mail.error
    assert mail.due_at > house.now + outbox.LEASE
    mailbox.answer = "250 OK"

    assert again(house, mail.id) is None

    assert house.runtime.delivery.work() == 1


@pytest.mark.parametrize("mail_id", ["0" * 32, "", "x", "\x00", "%"])
def test_what_is_no_mail_is_refused(quiet: Home, mail_id: str) -> None:
    if mail_id != "\x00":
        assert again(quiet.house, mail_id) == NOT_AGAIN


def test_of_many_who_try_at_once_one_begins_it(quiet: Home, refused: Any) -> None:
    """Whoever comes second finds a mail that is due, which needs nobody."""
    ready, answers = Barrier(4), []

    def work() -> None:
        ready.wait(30)
        answers.append(again(quiet.house, refused.id))

    threads = [Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert answers.count(None) == 1


def test_an_admin_lists_and_retries_over_http(quiet: Home, mailbox: Mailbox, refused: Any) -> None:
    house, client = quiet.house, quiet.client
    house.create("root", roles=("admin",))
    headers = house.enroll(client, "root").bearer
    listed = client.get("/api/admin/mail", params={"state": "given_up"}, headers=headers).json()
    assert [one["id"] for one in listed["mails"]] == [refused.id]
    assert listed["mails"][0]["state"] == "given_up"
    assert JOHN not in json.dumps(listed)

    first = client.post(f"/api/admin/mail/{refused.id}/retry", headers=headers)
    second = client.post(f"/api/admin/mail/{refused.id}/retry", headers=headers)
    nobody = client.post("/api/admin/mail/x/retry", headers=headers)

    assert (first.status_code, second.status_code, nobody.status_code) == (204, 400, 404)
    assert second.json()["type"] == "not_retryable"
    mailbox.received.clear()
    assert house.runtime.delivery.work() >= 1
    assert timedelta(0) < refused.expires_at - house.now


def test_pages_of_the_outbox_follow_each_other(quiet: Home, refused: Any) -> None:
    house = quiet.house
    work = house.runtime.mail_administration
    everything = [one.id for one in shown(house)]
    seen, cursor = [], None
    while True:
        page = work.list_mails(None, cursor=cursor, limit=1)
        seen += [one.id for one in page.mails]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert seen == everything
