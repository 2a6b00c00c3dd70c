"""Codes that come by mail, to the mailbox that was enrolled and to no other.

    begin ── state: mailbox, code, end ── sealed with the login
      └───── the code ── mail

The address is kept with the factor: another one of the account moves no code. What is pending
holds at most one code, and is spent with it, so that a code works once and in its login alone.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Row

from twinlock.core.errors import SealBrokenError
from twinlock.core.keyring import DigestKey
from twinlock.core.proof import Reason, Rejected, SubjectId, Verified
from twinlock.core.secrets import random_digits
from twinlock.factors.digits import normalise
from twinlock.factors.email_code import store
from twinlock.factors.protocol import Holder, MailedCode, Prompt

DIGITS: Final = 6
"""20 bits, as ASVS 5.0 6.6.3 asks of codes that are out of band, with the limit on tries."""
_AMR: Final = ("otp", "mca")
"""RFC 8176: a one-time password, over a channel of its own."""


class EmailCodeFactor:
    """A code of six digits by mail. It proves the mailbox, and no more than that."""

    method: ClassVar[str] = "email_code"
    is_short_code: ClassVar[bool] = True
    is_phishing_resistant: ClassVar[bool] = False
    is_mailed: ClassVar[bool] = True
    code_digits: ClassVar[int | None] = None
    max_per_account: ClassVar[int] = 2

    def __init__(self, digest_key: DigestKey, *, lifetime: timedelta) -> None:
        """Let each code live for *lifetime*, or as long as its login does."""
        self._digest_key = digest_key
        self._lifetime = lifetime

    def begin_enrollment(self, db: Connection, holder: Holder, *, now: datetime) -> Prompt:
        """Return a code for the account's own verified address.

        Raises:
            ValueError: There is none: the flow asks for it first.
        """
        if holder.email is None:
            raise ValueError("a mailbox that nobody has verified gets no code")
        return self._prompt(holder.email, {"address": holder.email}, now=now)

    def finish_enrollment(
        self,
        db: Connection,
        account_id: SubjectId,
        authenticator_id: str,
        state: bytes,
        answer: object,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Keep the mailbox that the code was sent to."""
        sent = json.loads(state)
        rejected = _rejected(sent, answer, now=now)
        if rejected is not None:
            return Rejected(rejected)
        address = sent["address"]
        tag = self._tag(account_id, authenticator_id, address)
        store.insert_mailbox(db, account_id, authenticator_id, address=address, tag=tag, now=now)
        return Verified(account_id, self.method, _AMR, now, evidence=authenticator_id)

    def import_authenticator(
        self,
        db: Connection,
        account_id: SubjectId,
        authenticator_id: str,
        uri: str,
        *,
        now: datetime,
    ) -> int | Rejected | None:
        """Refuse: a mailbox is enrolled by answering from it."""
        return Rejected(Reason.METHOD_NOT_AVAILABLE)

    def begin_verification(self, db: Connection, account_id: SubjectId, *, now: datetime) -> Prompt:
        """Return a new code for the mailbox that was enrolled last.

        Raises:
            SealBrokenError: Its row is gone, or another's: nothing is mailed.
        """
        rows = store.find_mailboxes(db, account_id)
        if not rows or not self._is_ours(rows[0], account_id):
            raise SealBrokenError
        mailbox = rows[0]
        return self._prompt(mailbox.address, {"id": mailbox.authenticator_id}, now=now)

    def finish_verification(
        self,
        db: Connection,
        account_id: SubjectId,
        state: bytes | None,
        answer: object,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Compare with the code that was sent last; the flow spends it with what is pending."""
        if state is None:
            return Rejected(Reason.WRONG)  # none was asked for
        sent = json.loads(state)
        rejected = _rejected(sent, answer, now=now)
        if rejected is not None:
            return Rejected(rejected, evidence=sent["id"])
        return Verified(account_id, self.method, _AMR, now, evidence=sent["id"])

    def remove(self, db: Connection, account_id: SubjectId, authenticator_id: str) -> None:
        """Forget a mailbox."""
        store.delete_mailbox(db, account_id, authenticator_id)

    def describe(
        self, db: Connection, account_id: SubjectId
    ) -> Mapping[str, Mapping[str, str | bool | None]]:
        """Return which mailbox each of them is."""
        rows = store.find_mailboxes(db, account_id)
        return {row.authenticator_id: {"address": row.address} for row in rows}

    def _prompt(self, address: str, of: Mapping[str, str], *, now: datetime) -> Prompt:
        code = random_digits(DIGITS)
        state = {**of, "code": code, "until": (now + self._lifetime).isoformat()}
        options = {"sent_to": masked(address), "digits": DIGITS}
        return Prompt(options, json.dumps(state).encode(), MailedCode(address, code))

    def _tag(self, account: SubjectId, authenticator_id: str, address: str) -> bytes:
        return self._digest_key.digest("email-code", account, authenticator_id, address)

    def _is_ours(self, row: Row[Any], account: SubjectId) -> bool:
        return compare_digest(row.tag, self._tag(account, row.authenticator_id, row.address))


def masked(address: str) -> str:
    """Return an address as its owner knows it again, and nobody learns it: ``j•••@example.com``."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"


def _rejected(sent: Mapping[str, str], answer: object, *, now: datetime) -> Reason | None:
    """Return why an answer is not the code that was sent."""
    code = normalise(answer) if isinstance(answer, str) else None
    if code is None:
        return Reason.MALFORMED
    if datetime.fromisoformat(sent["until"]) <= now:
        return Reason.EXPIRED
    return None if compare_digest(code, sent["code"]) else Reason.WRONG
