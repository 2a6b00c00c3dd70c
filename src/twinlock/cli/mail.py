"""``twinlock mail``: send a test mail."""

from typing import Annotated

import typer

from twinlock.accounts.names import EmailProblem, check_email
from twinlock.cli import output
from twinlock.core.secrets import new_id
from twinlock.mail.letters import Kind, Letter, sentence_of

app = output.group("Send a test mail.")

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
