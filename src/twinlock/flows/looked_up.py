"""What the first hop of a password step found, and whether its account may go on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import RightPassword
from twinlock.core.proof import NoSecondFactor, Reason, Rejected, Verified
from twinlock.factors.authenticators.store import Authenticators, AwaitsEnrollment, SealBroken
from twinlock.throttle.store import Try

_USUAL_DIGITS: Final = 6
"""Of a code, where what an account has cannot be believed."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An account whose password was right, and what it has."""

    account: Account
    password: Verified
    factors: Authenticators | NoSecondFactor


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What the first hop of a password step found, and the tries it counted.

    Attributes:
        account: None when nobody has that name.
        factors: What the account has; None when there is no account.
    """

    name: str
    account: Account | None
    factors: Authenticators | NoSecondFactor | AwaitsEnrollment | SealBroken | None
    tries: tuple[Try, ...]

    def split(self, password: str) -> tuple[str, str | None]:
        """Split the tutorial's appended code off a password field.

        Only an account with TOTP codes is ever split, and then never tried as a whole, so
        that nobody gets in without the second factor.
        """
        if isinstance(self.factors, SealBroken):
            # Denied in any case; but only behind a right password the alarm is raised.
            return self._cut(password, _USUAL_DIGITS)
        if not isinstance(self.factors, Authenticators):
            return password, None
        lengths = {one.code_digits for one in self.factors.all if one.code_digits}
        if len(lengths) != 1:
            return password, None
        return self._cut(password, *lengths)

    @staticmethod
    def _cut(password: str, length: int) -> tuple[str, str | None]:
        code = password[-length:]
        if len(code) == length and code.isascii() and code.isdigit():
            return password[:-length], code
        return password, None

    def ready(self, outcome: RightPassword | Rejected, *, now: datetime) -> Ready | Rejected:
        """Return the account whose password was right, or why it goes no further."""
        account = self.account
        if account is None or self.factors is None:
            return Rejected(Reason.UNKNOWN_ACCOUNT)
        if isinstance(outcome, Rejected):
            return outcome
        if account.is_disabled:
            return Rejected(Reason.DISABLED)
        if account.password_expires_at is not None and account.password_expires_at <= now:
            return Rejected(Reason.PASSWORD_EXPIRED)
        if isinstance(self.factors, SealBroken):
            return Rejected(Reason.SEAL_BROKEN)
        if isinstance(self.factors, AwaitsEnrollment):
            return Rejected(Reason.AWAITS_ENROLLMENT)
        return Ready(account, outcome.verified, self.factors)
