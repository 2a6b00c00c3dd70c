"""The outbox on the console: which mails wait or were given up, and having one tried again."""

from datetime import timedelta

from sqlalchemy import text

from tests.pages.browser import Browser
from tests.pages.test_console_actions import OWN, alice, happened
from tests.support.house import House
from twinlock.accounts.directory import Account
from twinlock.audit.events import EventType
from twinlock.flows import mailing
from twinlock.mail import store as outbox
from twinlock.mail.letters import Kind, Letter

__all__ = ["alice"]


def test_the_outbox_shows_states_and_never_what_a_mail_says(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    moment = sqlite_house.now.isoformat(" ", "microseconds")[:26]
    later = "2027" + moment[4:]
    rows = [
        (f"{number:032x}", f"kind{number}", sealed, attempts, delivered)
        for number, (sealed, attempts, delivered) in enumerate(
            [(b"secret text", 3, None), (None, 1, moment), (None, 9, None)]
        )
    ]

    def write(tx: object) -> None:
        for id_, kind, sealed, attempts, delivered in rows:
            tx.execute(  # type: ignore[attr-defined]
                text(
                    "insert into outbox (id, kind, subject_id, sealed, attempts, due_at,"
                    " expires_at, delivered_at, created_at)"
                    " values (:id, :kind, :subject, :sealed, :attempts, :later,"
                    " :later, :delivered, :moment)"
                ),
                {"id": id_, "kind": kind, "subject": alice.subject, "sealed": sealed,
                 "attempts": attempts, "moment": moment, "later": later, "delivered": delivered},
            )  # fmt: skip

    sqlite_house.database.transaction(write)
    sqlite_house.clock.advance(minutes=5)

    console.open("/admin/mail?cursor=nonsense")
    shown = console.text
    console.open("/admin/mail?state=waiting")

    for words in ("Waiting", "Sent", "Given up", "kind0", "kind1", "kind2", "alice"):
        assert words in shown, words
    assert "kind0" in console.text
    assert "kind1" not in console.text
    assert "secret" not in shown.lower()


def test_a_mail_that_was_given_up_is_tried_again_with_one_click(
    sqlite_house: House, console: Browser, alice: Account
) -> None:
    parts, now = sqlite_house.runtime.parts, sqlite_house.now
    sqlite_house.runtime.delivery.close()
    letter = Letter(Kind.TEST, "alice@example.com", {"at": "now"})
    parts.database.transaction(
        mailing.post, parts, letter, subject=alice.subject, lifetime=timedelta(hours=1), now=now
    )
    mails = parts.database.reading(outbox.list_due, now=now, limit=9)
    [mail] = [one for one in mails if one.kind == Kind.TEST]
    parts.database.transaction(outbox.give_up, mail, why="550 <b>no</b>", now=now)
    console.open("/admin/mail?state=given_up")
    assert "The mail server refused it" in console.text
    assert "<b>" not in console.page.text

    console.send("/again")

    assert console.path == "/admin/mail?state=given_up"
    assert "It is tried again within seconds." in console.text
    assert "No mail was given up." in console.text
    root = f"admin:{sqlite_house.account('root').subject}"
    assert happened(sqlite_house, EventType.MAIL_TRIED_AGAIN, alice) == [root]
    csrf = console.form("/logout").fields["csrf"]
    late = console.client.post(
        f"/admin/mail/{mail.id}/again",
        data={"csrf": csrf},
        headers={**OWN, "Accept": "text/html"},
        follow_redirects=True,
    )
    assert "That mail cannot be tried again" in late.text
