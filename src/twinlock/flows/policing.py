"""The password policy with this installation's settings filled in."""

from dataclasses import dataclass

from twinlock.accounts.password_policy import PasswordProblem, check_new_password


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

    def check(self, password: str, whose: Named) -> PasswordProblem | None:
        """Return why *password* is refused, or None."""
        return check_new_password(
            password,
            username=whose.username,
            email=whose.email,
            full_name=whose.full_name,
            service_name=" ".join((self.service_name, *self.blocked_words)),
            min_length=self.min_length,
            max_length=self.max_length,
        )
