"""What every flow stands on, put together once by ``composition.py``."""

from dataclasses import dataclass, field
from datetime import timedelta

from twinlock.accounts.directory import Accounts
from twinlock.core.clock import Clock
from twinlock.core.keyring import DigestKey, Keyring
from twinlock.db.engine import Database
from twinlock.factors.protocol import RecoverySet
from twinlock.factors.registry import Factors
from twinlock.mail.office import MailOffice
from twinlock.policies.store import PolicyBook
from twinlock.sessions.policy import Lifetimes
from twinlock.throttle.policy import ThrottleRules
from twinlock.tokens.marks import Marks


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one installation.

    Attributes:
        issuer: The ``iss`` of tokens: the base URL.
        audience: The ``aud`` of tokens.
        scopes: The scopes that a client may ask for.
        clock_skew: How far ahead the clocks of other machines may be.
        sees_passwords: Whether an account without a hash is one without a password; False where
            a host checks passwords itself.
        mail: What mail is sent with; None where none is sent.
    """

    database: Database
    keyring: Keyring
    digest_key: DigestKey
    accounts: Accounts
    factors: Factors
    recovery_codes: RecoverySet
    policies: PolicyBook
    lifetimes: Lifetimes
    throttle: ThrottleRules
    marks: Marks
    clock: Clock
    issuer: str
    audience: str
    scopes: frozenset[str] = field(default=frozenset())
    clock_skew: timedelta = timedelta(0)
    sees_passwords: bool = True
    mail: MailOffice | None = None
