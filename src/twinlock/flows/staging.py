"""What an admin asks for and the owner can stop: it waits a day, and the owner is told how.

Whoever stole an admin's session has changed nothing before the owner could hear of it. So what the
owner cannot be told of is not staged at all.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.core.principal import ADMIN
from twinlock.core.proof import SubjectId
from twinlock.core.secrets import new_secret
from twinlock.flows import mailing
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.flows.recovery import mailed_link
from twinlock.mail.letters import Kind, Letter, sentence_of
from twinlock.pending import store as pending
from twinlock.pending.store import Purpose

DELAY: Final = timedelta(hours=24)
LIFETIME: Final = timedelta(days=7)
AT_ONCE: Final = 50
"""How many that are due are read at once."""

OWN_ACCOUNT: Final = Refused(
    "own_account", "Change your own account as its owner, or ask another admin."
)
OWNER_UNREACHABLE: Final = Refused(
    "owner_unreachable",
    "The owner could not be told and could not stop it: there is no verified e-mail address, or "
    "this service sends no mail. Who runs the server can do it there, with the owner beside them.",
)
DISABLED: Final = Refused("account_disabled", "The account is disabled. Enable it first.")
TOO_MANY: Final = Refused("too_many_mails", "The owner was told of too many today. Try tomorrow.")
CHANGED: Final = Refused("changed_meanwhile", "The account changed just now. Try again.")


class Staged(Protocol):
    """What waits for its time."""

    @property
    def generation(self) -> int:
        """The account's when it was asked for; another one voids it."""
        ...

    @property
    def expires_at(self) -> datetime:
        """When it is too late for it."""
        ...


def is_alive(staged: Staged, account: Account, *, now: datetime) -> bool:
    """Tell whether what waits may still be done."""
    return staged.generation == account.generation and now < staged.expires_at


def is_reachable(parts: Parts, account: Account) -> bool:
    """Tell whether the owner of an account can be told anything."""
    return parts.mail is not None and account.email is not None and account.is_email_verified


def is_acting_admin(db: Connection, parts: Parts, subject: SubjectId | None) -> bool:
    """Tell whether the admin who asked, or the one who approved, is still an admin."""
    account = None if subject is None else parts.accounts.get(db, subject)
    return account is not None and ADMIN in account.roles and not account.is_disabled


def mail_cancel_link(
    tx: Connection,
    parts: Parts,
    account: Account,
    kind: Kind,
    purpose: Purpose,
    *path: str,
    now: datetime,
) -> bool:
    """Mail the owner what waits, with a link that stops it; False when it is one mail too many.

    The link works once, and for as long as it can stop anything: it dies with the account's
    generation, as does what waits.
    """
    if parts.mail is None or account.email is None:
        raise LookupError("nobody asked whether the owner is reachable")
    if not mailing.may_mail(tx, parts, kind, account.subject, now=now):
        return False
    token = new_secret()
    begun = mailed_link(purpose, token, account, account.generation, now + LIFETIME, now)
    pending.insert_pending(tx, begun)
    told = {
        **mailing.who(account),
        "link": parts.mail.letterhead.link(*path, token),
        "at": sentence_of(now),
        "due": sentence_of(now + DELAY),
    }
    letter = Letter(kind, account.email, told)
    mailing.post(tx, parts, letter, subject=account.subject, lifetime=LIFETIME, now=now)
    return True
