"""The password policy with this installation's settings filled in."""

from dataclasses import dataclass
from typing import Final

from twinlock.accounts.password_policy import PasswordProblem, check_new_password

LEAST_LENGTH: Final = 8
"""Enough where a password alone opens nothing (SP 800-63B-4 section 3.1.1.2)."""


@dataclass(frozen=True, slots=True)
class Named:
    """The words of a person that a password must not consist of."""

    username: str
    email: str | None
    full_name: str | None


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """What a new password must be like.

    Attributes:
        blocked_words: Further words that a password must not consist of (ASVS 5.0 6.1.2).
    """

    service_name: str
    min_length: int
    max_length: int
    blocked_words: tuple[str, ...] = ()

    def check(
        self, password: str, whose: Named, *, has_second_factor: bool = False
    ) -> PasswordProblem | None:
        """Return why *password* is refused, or None.

        Args:
            password: As typed.
            whose: The words that it must not consist of.
            has_second_factor: Whether a policy demands one, so that the least length is enough.
        """
        return check_new_password(
            password,
            username=whose.username,
            email=whose.email,
            full_name=whose.full_name,
            service_name=" ".join((self.service_name, *self.blocked_words)),
            min_length=LEAST_LENGTH if has_second_factor else self.min_length,
            max_length=self.max_length,
        )
