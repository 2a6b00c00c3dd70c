"""What a route demands beyond a signed-in user, and whether a user meets it."""

from dataclasses import dataclass
from datetime import timedelta

from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.web.problems import ProblemError, insufficient_authentication
from twinlock.web.recognition import Recognition


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request must prove beyond being signed in; an empty one demands nothing more."""

    acr: Acr | None = None
    max_age: timedelta | None = None
    amr: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()

    def check(self, user: User, recognition: Recognition) -> None:
        """Let the user pass.

        Raises:
            ProblemError: 401 with a step-up challenge, or 403 where no proof would help.
        """
        if self.roles and not self.roles <= user.roles:
            raise ProblemError(403, "role_required", "Not allowed.")
        is_too_weak = self.acr is not None and not user.acr.satisfies(self.acr)
        if is_too_weak or (self.amr and not self.amr <= _shown(user)):
            raise insufficient_authentication(acr=self.acr or Acr.AAL2, max_age=self.max_age)
        if self.max_age is not None and not user.is_fresh(self.max_age, now=recognition.clock()):
            raise insufficient_authentication(acr=self.acr, max_age=self.max_age)
        if self.scope and not self.scope <= user.scope:
            scope = " ".join(sorted(self.scope))
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise ProblemError(
                403, "insufficient_scope", "Not allowed.", headers={"WWW-Authenticate": challenge}
            )


def _shown(user: User) -> frozenset[str]:
    """Return the methods that may satisfy a demand: what a recovery code stands in for is none."""
    shown = frozenset(user.amr)
    return shown if shown - {"pwd", "mfa"} else shown - {"mfa"}
