"""What the guard asks of whatever stands in the ASGI scope, without knowing what that is.

An installation answers from its sessions, a `Verifier` from the tokens of a login server
elsewhere. Nothing here loads a database.
"""

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from starlette.requests import HTTPConnection
from starlette.types import Scope

from twinlock.core.clock import Clock
from twinlock.core.errors import DatabaseUnavailableError
from twinlock.core.principal import User
from twinlock.web.problems import ProblemError, retry_after

if TYPE_CHECKING:
    from twinlock.web.runtime import Runtime

_COME_BACK = timedelta(seconds=2)

SCOPE_KEY = "twinlock"
"""Where the ASGI scope holds the nearest instance."""


class _Refused(Enum):
    TOKEN = "refused"


REFUSED: Final = _Refused.TOKEN
"""In the place of a user: the token is known to open nothing."""
Refused: TypeAlias = Literal[_Refused.TOKEN]


class TokenSight(Protocol):
    """Turns access tokens into users."""

    def recall(self, authorization: bytes) -> User | Refused | None:
        """Return whom the bearer token in a header stands for, if memory still holds good."""
        ...

    async def user_of_token(self, token: str) -> User | None:
        """Return the user of a token, or None when it opens nothing.

        Raises:
            TwinlockError: It cannot be decided now.
        """
        ...


class Recognition(Protocol):
    """Who a request speaks for, and what is there to decide it with.

    Attributes:
        installation: The one behind it; None for a verifier, to which cookies mean nothing.
        socket_interval: Seconds between two looks at an idle WebSocket.
    """

    @property
    def clock(self) -> Clock: ...  # noqa: D102 - see the class
    @property
    def sight(self) -> TokenSight: ...  # noqa: D102
    @property
    def installation(self) -> "Runtime | None": ...  # noqa: D102
    @property
    def socket_interval(self) -> float: ...  # noqa: D102


class Instance(Protocol):
    """What the ASGI scope holds: a `Twinlock`, or a `Verifier`."""

    @property
    def runtime(self) -> Recognition:
        """What it recognises users with, running."""
        ...


class NotInstalledError(RuntimeError):
    """No instance is in the ASGI scope: `Twinlock.install(app)` puts it there."""


class NotStartedError(ProblemError):
    """The instance waits for its database, so that nothing can be decided."""

    def __init__(self) -> None:
        super().__init__(503, "unavailable", "Unavailable", headers=retry_after(_COME_BACK))


def recognition_of(connection: HTTPConnection) -> Recognition:
    """Return what the nearest instance recognises users with.

    Raises:
        NotInstalledError: The application has none.
        NotStartedError: It waits for its database.
    """
    return recognition_in(connection.scope)


def recognition_in(scope: Scope) -> Recognition:
    """Return the same from an ASGI scope.

    Raises:
        NotInstalledError: The application has none.
        NotStartedError: It waits for its database.
    """
    instance: Instance | None = scope.get(SCOPE_KEY)
    if instance is None:
        raise NotInstalledError(
            "call Twinlock(...).install(app) on this application first; one that included "
            "router() itself has its instance once its lifespan has run"
        )
    try:
        return instance.runtime
    except DatabaseUnavailableError as error:
        raise NotStartedError from error
