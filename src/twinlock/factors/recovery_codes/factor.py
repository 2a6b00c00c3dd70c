"""Recovery codes: look-up secrets for who has lost the authenticator (SP 800-63B-4)."""

from datetime import datetime
from typing import ClassVar, Final

from sqlalchemy import Connection

from twinlock.core.keyring import DigestKey
from twinlock.core.proof import Reason, Rejected, SubjectId, Verified
from twinlock.core.secrets import random_bytes
from twinlock.factors.protocol import Holder, Prompt, RecoveryCodesLeft
from twinlock.factors.recovery_codes import codes, store

CODES_IN_A_SET: Final = 10


class RecoveryCodes:
    """Ten codes that come with the first factor and die with the last; never enrolled alone."""

    method: ClassVar[str] = "recovery_codes"
    is_short_code: ClassVar[bool] = False
    is_phishing_resistant: ClassVar[bool] = False
    is_mailed: ClassVar[bool] = False
    code_digits: ClassVar[int | None] = None
    max_per_account: ClassVar[int] = 0

    def __init__(self, digest_key: DigestKey) -> None:
        self._digest_key = digest_key

    def begin_enrollment(self, db: Connection, holder: Holder, *, now: datetime) -> Prompt:
        """Nothing to begin: see `create`."""
        return Prompt()

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
        """Refuse: recovery codes are never an authenticator of their own."""
        return Rejected(Reason.METHOD_NOT_AVAILABLE)

    def import_authenticator(
        self,
        db: Connection,
        account_id: SubjectId,
        authenticator_id: str,
        uri: str,
        *,
        now: datetime,
    ) -> int | Rejected | None:
        """Refuse: recovery codes are never an authenticator of their own."""
        return Rejected(Reason.METHOD_NOT_AVAILABLE)

    def begin_verification(self, db: Connection, account_id: SubjectId, *, now: datetime) -> Prompt:
        """Nothing is needed: the codes lie in a drawer."""
        return Prompt()

    def finish_verification(
        self,
        db: Connection,
        account_id: SubjectId,
        state: bytes | None,
        answer: object,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Accept a code that was not yet spent."""
        code = codes.normalise(answer) if isinstance(answer, str) else None
        if code is None:
            return Rejected(Reason.MALFORMED)
        if not store.spend_code(db, account_id, digest=self._digest(account_id, code)):
            return Rejected(Reason.WRONG)
        return Verified(account_id, self.method, (), now)

    def remove(self, db: Connection, account_id: SubjectId, authenticator_id: str) -> None:
        """Nothing hangs on a single authenticator: see `remove_all`."""

    def create(self, db: Connection, account_id: SubjectId, *, now: datetime) -> list[str]:
        """Void the old set, store a new one, and return it in the form that people copy."""
        fresh = [codes.new_code(random_bytes(codes.CODE_BYTES)) for _ in range(CODES_IN_A_SET)]
        store.delete_codes(db, account_id)
        digests = [self._digest(account_id, code) for code in fresh]
        store.insert_codes(db, account_id, digests=digests, now=now)
        return [codes.format_code(code) for code in fresh]

    def remove_all(self, db: Connection, account_id: SubjectId) -> None:
        """Void the set, with the account's last factor."""
        store.delete_codes(db, account_id)

    def void_everything(self, db: Connection) -> int:
        """Void everybody's sets, after a backup was put back; return how many codes that were."""
        return store.delete_all_codes(db)

    def count_left(self, db: Connection, account_id: SubjectId) -> int:
        """Return how many codes are left."""
        return store.count_codes(db, account_id)

    def look(self, db: Connection, account_id: SubjectId) -> RecoveryCodesLeft:
        """Return what is left of the set, and whether it was kept: who used a code has them."""
        left, made_at, kept = store.look_at_codes(db, account_id)
        return RecoveryCodesLeft(left, made_at, kept > 0 or left < CODES_IN_A_SET)

    def note_kept(self, db: Connection, account_id: SubjectId, *, now: datetime) -> None:
        """Note that the set was kept."""
        store.note_kept(db, account_id, now=now)

    def holds(self, db: Connection, account_id: SubjectId, answer: str) -> bool:
        """Tell whether *answer* is one of an account's codes, and spend nothing."""
        code = codes.normalise(answer)
        return code is not None and store.has_code(
            db, account_id, digest=self._digest(account_id, code)
        )

    def _digest(self, account_id: SubjectId, code: str) -> bytes:
        return self._digest_key.digest("recovery-code", account_id, code)
