"""TOTP as a factor: an authenticator app that shows a code for each half minute (RFC 6238)."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Row

from twinlock.core.errors import SealBrokenError
from twinlock.core.keyring import Keyring
from twinlock.core.proof import Reason, Rejected, SubjectId, Verified
from twinlock.core.secrets import random_bytes
from twinlock.factors.digits import normalise
from twinlock.factors.protocol import Batch, Holder, Prompt
from twinlock.factors.totp import otpauth, rfc6238, store

KEY_BYTES: Final = 20
"""RFC 4226 section 4, R6 recommends 160 bits."""
_AMR: Final = ("otp",)


class TotpFactor:
    """Codes from an authenticator app, each spent once."""

    method: ClassVar[str] = "totp"
    is_short_code: ClassVar[bool] = True
    is_phishing_resistant: ClassVar[bool] = False
    is_mailed: ClassVar[bool] = False
    code_digits: ClassVar[int | None] = 6
    max_per_account: ClassVar[int] = 5

    def __init__(self, keyring: Keyring, *, issuer: str) -> None:
        """Name the service *issuer* in authenticator apps."""
        self._keyring = keyring
        self._issuer = issuer

    def begin_enrollment(self, db: Connection, holder: Holder, *, now: datetime) -> Prompt:
        """Return a fresh key as text, as ``otpauth`` URI and as QR code."""
        key = random_bytes(KEY_BYTES)
        uri = otpauth.provisioning_uri(key, issuer=self._issuer, account_name=holder.name)
        options = {
            "secret": otpauth.encode_secret(key),
            "uri": uri,
            "qr_svg": otpauth.qr_svg(uri),
        }
        return Prompt(options, state=key)

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
        """Store the key if *answer* is its code of now; that code is spent by it."""
        code = normalise(answer) if isinstance(answer, str) else None
        if code is None:
            return Rejected(Reason.MALFORMED)
        step = rfc6238.matching_step(state, code, now=now)
        if step is None:
            drift = rfc6238.nearest_drift(state, code, now=now)
            return Rejected(Reason.WRONG if drift is None else Reason.CLOCK_DRIFT)
        self._insert(db, account_id, authenticator_id, state, rfc6238.DEFAULTS, step, now=now)
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
        """Store the key of an ``otpauth`` URI; codes that were shown until now are spent."""
        parsed = otpauth.parse_uri(uri)
        if isinstance(parsed, otpauth.Problem):
            return Rejected(Reason.MALFORMED)
        spent = rfc6238.time_step(now, parsed.params)
        self._insert(db, account_id, authenticator_id, parsed.key, parsed.params, spent, now=now)
        return parsed.params.digits

    def _insert(
        self,
        db: Connection,
        account_id: SubjectId,
        authenticator_id: str,
        key: bytes,
        params: rfc6238.Params,
        last_step: int,
        *,
        now: datetime,
    ) -> None:
        """Store a key whose steps up to *last_step* are spent."""
        place = _Place(
            authenticator_id, account_id, params.digits, _seconds(params), params.algorithm
        )
        store.insert_key(
            db,
            account_id,
            authenticator_id,
            sealed_key=place.seal(self._keyring, key),
            digits=params.digits,
            period_seconds=_seconds(params),
            algorithm=params.algorithm,
            last_step=last_step,
            now=now,
        )

    def begin_verification(self, db: Connection, account_id: SubjectId, *, now: datetime) -> Prompt:
        """Nothing is needed: the app already shows the code."""
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
        """Accept a code of the present, previous or next step that is not yet spent."""
        code = normalise(answer) if isinstance(answer, str) else None
        if code is None:
            return Rejected(Reason.MALFORMED)
        rows = store.find_keys(db, account_id)
        if not rows:
            return Rejected(Reason.SEAL_BROKEN)  # the flow asks only who has this method
        keys: list[bytes] = []
        for row in rows:
            try:
                keys.append(self.open_key(row))  # all of them, before any is compared
            except SealBrokenError:
                return Rejected(Reason.SEAL_BROKEN, evidence=row.authenticator_id)
        rejected = Rejected(Reason.WRONG)
        for row, key in zip(rows, keys, strict=True):
            params = _params(row)
            step = rfc6238.matching_step(key, code, now=now, params=params, after=row.last_step)
            if step is not None and store.spend_step(
                db, account_id, row.authenticator_id, step=step
            ):
                return Verified(account_id, self.method, _AMR, now, evidence=row.authenticator_id)
            if rfc6238.matching_step(key, code, now=now, params=params) is not None:
                rejected = Rejected(Reason.SPENT, evidence=row.authenticator_id)
        return rejected

    def remove(self, db: Connection, account_id: SubjectId, authenticator_id: str) -> None:
        """Delete the key."""
        store.delete_key(db, account_id, authenticator_id)

    def open_key(self, row: Row[Any]) -> bytes:
        """Return the key of a row.

        Raises:
            SealBrokenError: The row was changed or moved.
        """
        return _Place.of(row).open(self._keyring, row.key)

    def reseal(self, tx: Connection, *, after: str, limit: int) -> Batch | None:
        """Re-seal one batch under the newest master key; None when there are no more."""
        rows = store.list_keys(tx, after=after, limit=limit)
        stale = [row for row in rows if self._keyring.is_stale_seal(row.key)]
        broken = tuple(row.authenticator_id for row in stale if not self._opens(row))
        resealed = sum(self._reseal(tx, row) for row in stale if row.authenticator_id not in broken)
        return Batch(rows[-1].authenticator_id, resealed, broken) if rows else None

    def find_broken(self, db: Connection, *, after: str, limit: int) -> Batch | None:
        """Try to open one batch of keys; None when there are no more."""
        rows = store.list_keys(db, after=after, limit=limit)
        broken = tuple(row.authenticator_id for row in rows if not self._opens(row))
        return Batch(rows[-1].authenticator_id, broken=broken) if rows else None

    def _reseal(self, tx: Connection, row: Row[Any]) -> bool:
        new = _Place.of(row).seal(self._keyring, self.open_key(row))
        return store.reseal_key(tx, row.authenticator_id, old=row.key, new=new)

    def _opens(self, row: Row[Any]) -> bool:
        try:
            self.open_key(row)
        except SealBrokenError:
            return False
        return True


class _Place:
    """Where a key lies: sealed to its row, its account and its parameters."""

    def __init__(
        self, row: str, account: SubjectId, digits: int, period_seconds: int, algorithm: str
    ) -> None:
        self._row = row
        self._account = account
        self._column = f"key/{digits}/{period_seconds}/{algorithm}"

    @classmethod
    def of(cls, row: Row[Any]) -> "_Place":
        return cls(
            row.authenticator_id,
            SubjectId(row.subject_id),
            row.digits,
            row.period_seconds,
            row.algorithm,
        )

    def seal(self, keyring: Keyring, key: bytes) -> bytes:
        return keyring.seal(
            key, table="totp", column=self._column, row=self._row, account=self._account
        )

    def open(self, keyring: Keyring, sealed: bytes) -> bytes:
        return keyring.open(
            sealed, table="totp", column=self._column, row=self._row, account=self._account
        )


def _params(row: Row[Any]) -> rfc6238.Params:
    return rfc6238.Params(
        digits=row.digits,
        period=timedelta(seconds=row.period_seconds),
        algorithm=row.algorithm,
    )


def _seconds(params: rfc6238.Params) -> int:
    return int(params.period.total_seconds())
