"""Passkeys as a factor: a key pair per account that no other site can ask for (WebAuthn)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Row

from twinlock.core.errors import SealBrokenError
from twinlock.core.keyring import DigestKey, Keyring
from twinlock.core.proof import NOBODY, Reason, Rejected, SubjectId, Verified
from twinlock.core.secrets import random_bytes
from twinlock.factors.passkey import aaguids, ceremony, store
from twinlock.factors.passkey.ceremony import Credential, Registered, RelyingParty, Verification
from twinlock.factors.protocol import Batch, Holder, Prompt

_STATE: Final = struct.Struct(f">BQ{ceremony.CHALLENGE_BYTES}s")
_TIME_OF_ENROLLMENT: Final = 2 * ceremony.LIFETIME
"""What a browser is told; the enrollment itself has its own end."""


class PasskeyFactor:
    """Passkeys, several for each account."""

    method: ClassVar[str] = "passkey"
    is_short_code: ClassVar[bool] = False
    is_phishing_resistant: ClassVar[bool] = True
    is_mailed: ClassVar[bool] = False
    code_digits: ClassVar[int | None] = None
    max_per_account: ClassVar[int] = 20

    def __init__(self, keyring: Keyring, digest_key: DigestKey, *, rp: RelyingParty) -> None:
        """Bind passkeys to *rp*."""
        self._keyring = keyring
        self._digest_key = digest_key
        self._rp = rp

    def begin_enrollment(self, db: Connection, holder: Holder, *, now: datetime) -> Prompt:
        """Ask for a new credential, on a device that holds none of the account yet."""
        challenge = random_bytes(ceremony.CHALLENGE_BYTES)
        options = ceremony.creation_options(
            self._rp,
            challenge=challenge,
            user_handle=self.user_handle(holder.account),
            name=holder.name,
            display_name=holder.display_name,
            excluded=self._descriptors(db, holder.account),
            lifetime=_TIME_OF_ENROLLMENT,
        )
        return Prompt(options, state=challenge)

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
        """Store the public key of a credential whose registration holds (section 7.1)."""
        found = ceremony.verify_registration(answer, rp=self._rp, expected_challenge=state)
        if isinstance(found, Reason):
            return Rejected(found)
        place = _Place.of_new(authenticator_id, account_id, found)
        new = store.NewPasskey(
            authenticator_id=authenticator_id,
            account=account_id,
            credential_id=found.credential_id,
            sealed_key=place.seal(self._keyring, found.public_key),
            algorithm=found.algorithm,
            aaguid=found.aaguid,
            transports=found.transports,
            is_backup_eligible=found.is_backup_eligible,
            is_backed_up=found.is_backed_up,
            sign_count=found.sign_count,
            created_at=now,
        )
        if not store.insert_credential(db, new):
            return Rejected(Reason.SPENT)  # section 7.1 step 26: somebody has it already
        return self._verified(
            account_id,
            authenticator_id,
            is_synced=found.is_backup_eligible,
            is_user_verified=found.is_user_verified,
            now=now,
        )

    def import_authenticator(
        self,
        db: Connection,
        account_id: SubjectId,
        authenticator_id: str,
        uri: str,
        *,
        now: datetime,
    ) -> int | Rejected | None:
        """Refuse: a passkey is made where it is used."""
        return Rejected(Reason.METHOD_NOT_AVAILABLE)

    def begin_verification(self, db: Connection, account_id: SubjectId, *, now: datetime) -> Prompt:
        """Ask for one of the account's credentials; a PIN or a finger is welcome, not demanded."""
        allowed = self._descriptors(db, account_id)
        return self._ask(Verification.PREFERRED, allowed, is_discovery=False, now=now)

    def begin_discovery(self, *, now: datetime) -> Prompt:
        """Ask for any credential of ours, which then names its account; demand verification."""
        return self._ask(Verification.REQUIRED, [], is_discovery=True, now=now)

    def account_of(self, db: Connection, answer: object) -> SubjectId | None:
        """Return the account that an answer claims to come from; nothing of it is checked yet."""
        credential_id = ceremony.claimed_credential_id(answer)
        row = store.get_credential(db, credential_id) if credential_id else None
        return SubjectId(row.subject_id) if row else None

    def claimed_by(self, answer: object) -> str:
        """Return the credential id that an answer claims; empty where it claims none."""
        return (ceremony.claimed_credential_id(answer) or b"").hex()

    def finish_verification(
        self,
        db: Connection,
        account_id: SubjectId,
        state: bytes | None,
        answer: object,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Accept an answer to the challenge of *state* (section 7.2), once."""
        asked = _Asked.read(state)
        credential_id = ceremony.claimed_credential_id(answer)
        if asked is None or credential_id is None:
            return Rejected(Reason.MALFORMED)
        if asked.until <= now:
            return Rejected(Reason.EXPIRED)
        row = store.get_credential(db, credential_id)
        if row is None or row.subject_id != account_id:
            self._check_nobodys(answer, credential_id, asked)
            return Rejected(Reason.WRONG)
        try:
            public_key = self.open_key(row)
        except SealBrokenError:
            return Rejected(Reason.SEAL_BROKEN, evidence=row.authenticator_id)
        found = ceremony.verify_assertion(
            answer,
            Credential(
                row.credential_id, public_key, row.is_backup_eligible, self.user_handle(account_id)
            ),
            rp=self._rp,
            expected_challenge=asked.challenge,
            verification=asked.verification,
            must_name_user=asked.is_discovery,
        )
        if isinstance(found, Reason):
            return Rejected(found, evidence=row.authenticator_id)
        if not store.note_assertion(
            db,
            account_id,
            row.authenticator_id,
            sign_count=found.sign_count,
            is_backed_up=found.is_backed_up,
            challenge_digest=asked.digest,
        ):
            return self._refused_count(db, credential_id, asked)
        return self._verified(
            account_id,
            row.authenticator_id,
            is_synced=row.is_backup_eligible,
            is_user_verified=found.is_user_verified,
            now=now,
        )

    def remove(self, db: Connection, account_id: SubjectId, authenticator_id: str) -> None:
        """Delete what is kept of the credential; the device still has its own half."""
        store.delete_credential(db, account_id, authenticator_id)

    def describe(
        self, db: Connection, account_id: SubjectId
    ) -> Mapping[str, Mapping[str, str | bool | None]]:
        """Return what people may want to know of each passkey, by authenticator id."""
        return {
            row.authenticator_id: {
                "aaguid": row.aaguid,
                "provider": aaguids.name_of(row.aaguid),
                "backup_eligible": row.is_backup_eligible,
                "backed_up": row.is_backed_up,
            }
            for row in store.find_credentials(db, account_id)
        }

    def user_handle(self, account_id: SubjectId) -> bytes:
        """Return the account's handle inside its passkeys: 256 bits that tell nothing of it.

        The same for all of them, so that a device keeps one for each account; derived, so that
        no row can be exchanged for another account's.
        """
        return self._digest_key.digest("passkey-user-handle", account_id)

    def open_key(self, row: Row[Any]) -> bytes:
        """Return the public key of a row.

        Raises:
            SealBrokenError: The row was changed or moved.
        """
        return _Place.of(row).open(self._keyring, row.public_key)

    def reseal(self, tx: Connection, *, after: str, limit: int) -> Batch | None:
        """Re-seal one batch under the newest master key; None when there are no more."""
        rows = store.list_credentials(tx, after=after, limit=limit)
        stale = [row for row in rows if self._keyring.is_stale_seal(row.public_key)]
        broken = tuple(row.authenticator_id for row in stale if not self._opens(row))
        resealed = sum(self._reseal(tx, row) for row in stale if row.authenticator_id not in broken)
        return Batch(rows[-1].authenticator_id, resealed, broken) if rows else None

    def find_broken(self, db: Connection, *, after: str, limit: int) -> Batch | None:
        """Try to open one batch of public keys; None when there are no more."""
        rows = store.list_credentials(db, after=after, limit=limit)
        broken = tuple(row.authenticator_id for row in rows if not self._opens(row))
        return Batch(rows[-1].authenticator_id, broken=broken) if rows else None

    def _ask(
        self,
        verification: Verification,
        allowed: list[dict[str, Any]],
        *,
        is_discovery: bool,
        now: datetime,
    ) -> Prompt:
        challenge = random_bytes(ceremony.CHALLENGE_BYTES)
        options = ceremony.request_options(
            self._rp, challenge=challenge, allowed=allowed, verification=verification
        )
        asked = _Asked(challenge, verification, is_discovery, now + ceremony.LIFETIME)
        return Prompt(options, state=asked.written())

    def _descriptors(self, db: Connection, account_id: SubjectId) -> list[dict[str, Any]]:
        return [
            ceremony.descriptor(row.credential_id, row.transports.split())
            for row in store.find_credentials(db, account_id)
        ]

    def _check_nobodys(self, answer: object, credential_id: bytes, asked: "_Asked") -> None:
        """Check an answer as if its credential were known, so that the answer takes as long."""
        ceremony.verify_assertion(
            answer,
            Credential(
                credential_id,
                ceremony.nobodys_key(),
                is_backup_eligible=False,
                user_handle=self.user_handle(NOBODY),
            ),
            rp=self._rp,
            expected_challenge=asked.challenge,
            verification=asked.verification,
            must_name_user=asked.is_discovery,
        )

    def _refused_count(self, db: Connection, credential_id: bytes, asked: "_Asked") -> Rejected:
        """Tell a repeated answer from a counter that fell back, as only a copied key's does."""
        row = store.get_credential(db, credential_id)
        if row is None:
            return Rejected(Reason.WRONG)  # removed since it was read
        if row.last_challenge is not None and bytes(row.last_challenge) == asked.digest:
            return Rejected(Reason.SPENT, evidence=row.authenticator_id)
        return Rejected(Reason.SIGN_COUNT_FELL, evidence=row.authenticator_id)

    def _verified(
        self,
        account_id: SubjectId,
        authenticator_id: str,
        *,
        is_synced: bool,
        is_user_verified: bool,
        now: datetime,
    ) -> Verified:
        # RFC 8176 section 2. A key that may leave its device is software-secured (`swk`); one
        # that may not counts as `hwk`, on its authenticator's word: attestation is not asked
        # for. `user`: its presence was tested, as in every ceremony. How somebody was verified
        # (`pin`, `fpt`, …) an authenticator does not tell; that it was shows in `mfa`.
        amr = ("swk" if is_synced else "hwk", "user")
        return Verified(
            account_id,
            self.method,
            amr,
            now,
            is_phishing_resistant=True,
            is_user_verified=is_user_verified,
            evidence=authenticator_id,
        )

    def _reseal(self, tx: Connection, row: Row[Any]) -> bool:
        new = _Place.of(row).seal(self._keyring, self.open_key(row))
        return store.reseal_key(tx, row.authenticator_id, old=row.public_key, new=new)

    def _opens(self, row: Row[Any]) -> bool:
        try:
            self.open_key(row)
        except SealBrokenError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a sign-in was asked: the server's half of a ceremony, between its two steps."""

    challenge: bytes
    verification: Verification
    is_discovery: bool
    until: datetime

    @property
    def digest(self) -> bytes:
        return ceremony.digest_of(self.challenge)

    def written(self) -> bytes:
        flags = (self.verification is Verification.REQUIRED) | self.is_discovery << 1
        return _STATE.pack(flags, int(self.until.timestamp()), self.challenge)

    @classmethod
    def read(cls, state: bytes | None) -> "_Asked | None":
        """Read what `written` gave, from under its seal; None where nothing was asked."""
        if state is None:
            return None
        flags, until, challenge = _STATE.unpack(state)
        return cls(
            challenge,
            Verification.REQUIRED if flags & 1 else Verification.PREFERRED,
            bool(flags & 2),
            datetime.fromtimestamp(until, UTC),
        )


class _Place:
    """Where a public key lies: sealed to its row, its account and what must not change beside it.

    Whoever can write to the database can neither put another key in its place, nor another
    credential id before it.
    """

    def __init__(self, row: str, account: SubjectId, *facts: str) -> None:
        self._row = row
        self._account = account
        self._column = "/".join(("public_key", *facts))

    @classmethod
    def of_new(cls, row: str, account: SubjectId, new: Registered) -> "_Place":
        facts = _facts(new.credential_id, new.algorithm, new.aaguid, new.is_backup_eligible)
        return cls(row, account, *facts)

    @classmethod
    def of(cls, row: Row[Any]) -> "_Place":
        facts = _facts(row.credential_id, row.algorithm, row.aaguid, row.is_backup_eligible)
        return cls(row.authenticator_id, SubjectId(row.subject_id), *facts)

    def seal(self, keyring: Keyring, public_key: bytes) -> bytes:
        return keyring.seal(
            public_key, table="passkey", column=self._column, row=self._row, account=self._account
        )

    def open(self, keyring: Keyring, sealed: bytes) -> bytes:
        return keyring.open(
            sealed, table="passkey", column=self._column, row=self._row, account=self._account
        )


def _facts(
    credential_id: bytes, algorithm: int, aaguid: str, is_backup_eligible: object
) -> tuple[str, ...]:
    return credential_id.hex(), str(algorithm), aaguid, "synced" if is_backup_eligible else "bound"
