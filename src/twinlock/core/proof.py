"""Proofs: what a sign-in has shown, in types that cannot be made without having checked it.

Verified ──┬─ PasswordOnly(password, NoSecondFactor)     aal1, only for who has no second factor
           ├─ PasswordAndDevice(password, device)        aal1, a trusted device in place of it
           ├─ TwoFactors(password, second)               aal2, or phr when the second is a passkey
           ├─ VerifiedPasskey(passkey)                   phr, with user verification
           └─ Continued(context)                         a fresh session's own proof, carried over

``open_session`` takes one `Proof` and nothing else. A method that failed is a `Rejected`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

SubjectId = NewType("SubjectId", str)
"""The ``sub`` of an account: 32 hex digits, never given out again."""
NOBODY: Final = SubjectId("0" * 32)
"""In the place of an account that is not there, so that looking costs the same."""


class Acr(StrEnum):
    """Authentication context class (OpenID Connect Core section 2), weakest first.

    Attributes:
        AAL1: One factor: a password, or one beside a trusted device.
        AAL2: Two factors (SP 800-63B-4 section 2.2), a recovery code as the second included.
        PHR: Phishing-resistant ones: a passkey that verified its user, or one after a password.
    """

    AAL1 = "aal1"
    AAL2 = "aal2"
    PHR = "phr"

    @property
    def rank(self) -> int:
        """The place in the order ``aal1 < aal2 < phr``."""
        return _RANKS[self]

    def satisfies(self, demanded: "Acr") -> bool:
        """Tell whether this is at least as strong as *demanded*."""
        return self is demanded or self.rank >= demanded.rank


_RANKS = {Acr.AAL1: 1, Acr.AAL2: 2, Acr.PHR: 3}


class Reason(StrEnum):
    """Why an answer or a login was refused; for the audit log, never for the client."""

    WRONG = "wrong"
    SPENT = "spent"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    UNKNOWN_ACCOUNT = "unknown_account"
    WRONG_PASSWORD = "wrong_password"
    DISABLED = "disabled"
    PASSWORD_EXPIRED = "password_expired"
    CHANGED_MEANWHILE = "changed_meanwhile"
    SEAL_BROKEN = "seal_broken"
    METHOD_NOT_AVAILABLE = "method_not_available"
    THROTTLED = "throttled"
    STOPPED = "short_codes_stopped"
    NO_CODE = "no_code"
    CLOCK_DRIFT = "clock_drift"
    AWAITS_ENROLLMENT = "awaits_enrollment"
    SIGN_COUNT_FELL = "sign_count_fell"
    EMAIL_UNVERIFIED = "email_unverified"
    ROLE_REQUIRED = "role_required"
    PROOF_REQUIRED = "proof_required"
    PASSWORD_CHANGE_REQUIRED = "password_change_required"


@dataclass(frozen=True, slots=True)
class Verified:
    """One factor was shown, just now.

    Attributes:
        amr: The RFC 8176 values that were really used; empty where there is none.
        is_user_verified: Whether it was two factors in one: a passkey, and a PIN or a finger.
        evidence: What the registry of authenticators is to note (an authenticator's id).
    """

    account: SubjectId
    method: str
    amr: tuple[str, ...]
    at: datetime
    is_phishing_resistant: bool = False
    is_user_verified: bool = False
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A factor was not shown."""

    reason: Reason
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class NoSecondFactor:
    """A read under a valid seal found no authenticator. Built by the authenticators store only."""

    account: SubjectId
    generation: int


@dataclass(frozen=True, slots=True)
class AuthenticationContext:
    """What a session or token says of how and when its subject signed in."""

    account: SubjectId
    acr: Acr
    amr: tuple[str, ...]
    auth_time: datetime


@dataclass(frozen=True, slots=True)
class PasswordOnly:
    """The password of an account that has no second factor."""

    password: Verified
    no_second_factor: NoSecondFactor


@dataclass(frozen=True, slots=True)
class PasswordAndDevice:
    """The password, on a device that a full sign-in trusted earlier."""

    password: Verified
    device: str


@dataclass(frozen=True, slots=True)
class TwoFactors:
    """The password and a second factor."""

    password: Verified
    second: Verified


@dataclass(frozen=True, slots=True)
class VerifiedPasskey:
    """A passkey with user verification: two factors in one."""

    passkey: Verified


@dataclass(frozen=True, slots=True)
class Continued:
    """A fresh session's own proof, carried into the session that replaces it.

    Attributes:
        added: A factor shown on top of it, for enrollment and step-up.
    """

    context: AuthenticationContext
    added: Verified | None = field(default=None)


Proof = PasswordOnly | PasswordAndDevice | TwoFactors | VerifiedPasskey | Continued


class ProofMismatchError(AssertionError):
    """A proof that proves nothing, as of two accounts: a bug, never a person's doing."""


def context_of(proof: Proof) -> AuthenticationContext:
    """Return what *proof* proves: account, ``acr``, ``amr`` and ``auth_time``.

    Raises:
        ProofMismatchError: The parts of the proof name different accounts, or a passkey that
            was to stand alone verified nobody.
    """
    match proof:
        case PasswordOnly(password=password, no_second_factor=none):
            _agree(password.account, none.account)
            return AuthenticationContext(password.account, Acr.AAL1, password.amr, password.at)
        case PasswordAndDevice(password=password):
            return AuthenticationContext(password.account, Acr.AAL1, password.amr, password.at)
        case TwoFactors(password=password, second=second):
            _agree(password.account, second.account)
            return _two(password.account, password.amr, second)
        case VerifiedPasskey(passkey=passkey):
            if not (passkey.is_user_verified and passkey.is_phishing_resistant):
                raise ProofMismatchError
            return AuthenticationContext(
                passkey.account, Acr.PHR, _merged(passkey.amr, ("mfa",)), passkey.at
            )
        case Continued(context=context, added=added):
            if added is None:
                return context
            _agree(context.account, added.account)
            return _added(context, added)


def _added(context: AuthenticationContext, added: Verified) -> AuthenticationContext:
    """Return what one more factor makes of a session.

    ``auth_time`` is the moment of the proof that earns the ``acr`` returned, which may be
    lower than before: a fresh password, shown long after a second factor, is ``aal1``, now.
    """
    if added.method == "password":
        return AuthenticationContext(context.account, Acr.AAL1, added.amr, added.at)
    password = tuple(value for value in context.amr if value == "pwd")
    if password or added.is_user_verified:
        return _two(context.account, password, added)
    # Signed in by a passkey alone, and shown one more possession: never `phr` by a key that
    # verified nobody, and not that passkey once more, at a moment when it was not shown.
    amr = _merged(added.amr, ("mfa",))
    return AuthenticationContext(context.account, Acr.AAL2, amr, added.at)


def _two(account: SubjectId, amr: tuple[str, ...], second: Verified) -> AuthenticationContext:
    acr = Acr.PHR if second.is_phishing_resistant else Acr.AAL2
    return AuthenticationContext(account, acr, _merged(amr, second.amr, ("mfa",)), second.at)


def _merged(*amrs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for amr in amrs for value in amr if value != "mfa")) + (
        ("mfa",) if any("mfa" in amr for amr in amrs) else ()
    )


def _agree(one: SubjectId, other: SubjectId) -> None:
    if one != other:
        raise ProofMismatchError
