"""Who a request speaks for: the type that a route gets when it asks for a user."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from inspect import Parameter, Signature
from typing import Any, Final

from twinlock.core.proof import Acr, AuthenticationContext, SubjectId

ADMIN: Final = "admin"
"""The role whose holders administer accounts."""
_CLOCK_SKEW: Final = timedelta(minutes=1)


_FORGOTTEN: Final = "no request is a user: ask for CurrentUser, or Annotated[User, require(…)]"


def _require_made_here(value: object) -> object:
    """Return a user that a guard made.

    Raises:
        ValueError: It was read from a request.
    """
    if isinstance(value, User):
        return value
    raise ValueError(_FORGOTTEN)


class _Nothing:
    """What `User` seems to be made from, so that no framework makes one from a request."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> None:
        raise TypeError(_FORGOTTEN)


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in account, and what its sign-in proved.

    A login that still waits for its second factor is another type and never one of these.

    Attributes:
        id: The ``sub``: 32 hex digits, stable, never given out again.
        host_id: The id of the account in the table that it lives in, as text.
        username: What it is called now.
        email: Its address; None for none, and where only a token is read.
        full_name: Its name as people say it; None likewise.
        roles: What the account may do, read from the database within the last minute.
        scope: What the session's tokens carry.
        acr: ``aal1``, ``aal2`` or ``phr``: how strongly this request is authenticated.
        amr: The methods really used (RFC 8176): ``pwd``, ``otp``, ``swk``, ``hwk`` …, and
            ``mfa`` for two factors.
        auth_time: The moment of the proof that earned `acr`; aware, in UTC.
        generation: Rises with every change of password, factors, e-mail or disabled state.
        session_id: The session's handle, as ``GET /api/sessions`` lists it.
        language: The code of the language that the account chose, such as ``de``; None for none.
        must_change_password: The account holds a first password and is kept to its own pages.
    """

    id: SubjectId
    host_id: str
    username: str
    email: str | None
    full_name: str | None
    roles: frozenset[str]
    scope: frozenset[str]
    acr: Acr
    amr: tuple[str, ...]
    auth_time: datetime
    session_id: str
    generation: int
    must_change_password: bool
    language: str | None = None

    # ``Annotated[User, Depends()]`` would fill in these from the query.
    __signature__ = Signature([Parameter("user", Parameter.KEYWORD_ONLY, annotation=_Nothing)])

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type["User"], handler: Callable[[type["User"]], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Let a route return a user, and no request ever be one.

        ``user: User`` without a guard is a request body to FastAPI: whoever sends it would be
        whom they like. The schema is written out because nothing here knows Pydantic.
        """
        made_here = {"type": "no-info", "function": _require_made_here}
        return {"type": "function-before", "function": made_here, "schema": handler(source)}

    @property
    def disabled(self) -> bool:
        """Always false: a disabled account is nobody's user. For the tutorial's model."""
        return False

    @property
    def context(self) -> AuthenticationContext:
        """What this request proves."""
        return AuthenticationContext(self.id, self.acr, self.amr, self.auth_time)

    def is_fresh(self, max_age: timedelta, *, now: datetime) -> bool:
        """Tell whether the proof is at most *max_age* old, and not from a time to come.

        Args:
            max_age: Compared with *now* less `auth_time`.
            now: The present moment; aware. A minute before `auth_time` still counts: the clocks
                of several machines.
        """
        return -_CLOCK_SKEW <= now - self.auth_time <= max_age
