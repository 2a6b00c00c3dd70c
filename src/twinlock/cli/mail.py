"""``twinlock mail``: send a test mail, look into the outbox, have a mail tried again."""

from typing import Annotated, Any

import typer
from sqlalchemy import Row

from twinlock.accounts.names import EmailProblem, check_email
from twinlock.cli import output
from twinlock.core.secrets import new_id
from twinlock.flows.mail_administration import State
from twinlock.flows.outcomes import Refused
from twinlock.mail.letters import Kind, Letter, sentence_of

app = output.group("Send a test mail, list the outbox, have a mail tried again.")

_AT_ONCE = 100
NO_MAIL = "No mail server is set: set TWINLOCK_SMTP_URL."


@app.command()
def test(
    address: Annotated[str, typer.Argument(help="Where to send it.")],
    *,
    json: output.Json = False,  # noqa: PT028 - a command, no test
) -> None:
    """Send a test mail now, without the outbox, and say what the mail server answered."""
    checked = check_email(address)
    if isinstance(checked, EmailProblem):
        output.refuse(checked.sentence)
    with output.opened() as flows:
        office, now = flows.parts.mail, flows.parts.clock()
    if office is None:
        output.refuse(NO_MAIL)
    letter = Letter(Kind.TEST, checked.text, {"at": sentence_of(now)})
    message = office.letterhead.message(letter, message_id=new_id(), now=now)
    office.transport.send(message)
    facts = {"to": checked.text, "from": str(message["From"]), "through": repr(office.transport)}
    output.show(facts, f"Sent to {checked.text} through {facts['through']}.", as_json=json)


@app.command("list")
def list_mails(
    *,
    state: Annotated[
        State | None, typer.Option(help="Only those that wait, or were given up.")
    ] = None,
    json: output.Json = False,
) -> None:
    """List the newest mails of the last seven days, without what they say."""
    with output.opened() as flows:
        found = flows.mail_administration.list_mails(state, cursor=None, limit=_AT_ONCE)
    headings = ("id", "kind", "user", "state", "tries", "written", "error")
    rows = [
        (
            mail.id,
            mail.kind,
            output.safe(found.usernames.get(mail.subject_id, "")),
            _state(mail),
            mail.attempts,
            mail.created_at,
            output.safe(mail.error or ""),
        )
        for mail in found.mails
    ]
    facts = {"mails": [_facts(mail) for mail in found.mails]}
    output.show(facts, output.table(headings, rows), as_json=json)


@app.command()
def retry(
    mail_id: Annotated[str, typer.Argument(metavar="ID", help="As `mail list` shows it.")],
    *,
    json: output.Json = False,
) -> None:
    """Have a mail tried again that was given up, or waits; a running server sends it."""
    with output.opened() as flows:
        refused = flows.mail_administration.try_again(
            mail_id, output.caller(), now=flows.parts.clock()
        )
    if isinstance(refused, Refused):
        output.refuse(f"{output.safe(mail_id)} cannot be tried again. {refused.message}")
    output.show({"id": mail_id}, f"{output.safe(mail_id)} is due now.", as_json=json)


def _state(mail: Row[Any]) -> str:
    if mail.waits:
        return "waiting"
    return "sent" if mail.delivered_at else "given_up"


def _facts(mail: Row[Any]) -> dict[str, Any]:
    return {
        "id": mail.id,
        "kind": mail.kind,
        "user_id": mail.subject_id,
        "state": _state(mail),
        "attempts": mail.attempts,
        "error": mail.error,
        "due_at": mail.due_at,
        "created_at": mail.created_at,
    }
