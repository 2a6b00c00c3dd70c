"""Two-factor authentication for FastAPI.

The public names, each loaded when it is first asked for (PEP 562), so that a resource
server that only verifies tokens does not load a login server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinlock.accounts.directory import Directory as Directory
    from twinlock.accounts.directory import DirectoryEntry as DirectoryEntry
    from twinlock.app import Twinlock as Twinlock
    from twinlock.app import create_app as create_app
    from twinlock.config.settings import Settings as Settings
    from twinlock.core.principal import User as User
    from twinlock.core.proof import Acr as Acr
    from twinlock.flows.outcomes import Denied as Denied
    from twinlock.flows.outcomes import EnrollmentRequired as EnrollmentRequired
    from twinlock.flows.outcomes import SecondFactorRequired as SecondFactorRequired
    from twinlock.flows.outcomes import SignedIn as SignedIn
    from twinlock.flows.outcomes import Throttled as Throttled
    from twinlock.web.guard import CurrentUser as CurrentUser
    from twinlock.web.guard import OptionalUser as OptionalUser
    from twinlock.web.guard import require as require
    from twinlock.web.hooks import SecurityEvent as SecurityEvent

__version__ = "0.1.0"

__all__ = [
    "Acr",
    "CurrentUser",
    "Denied",
    "Directory",
    "DirectoryEntry",
    "EnrollmentRequired",
    "OptionalUser",
    "SecondFactorRequired",
    "SecurityEvent",
    "Settings",
    "SignedIn",
    "Throttled",
    "Twinlock",
    "User",
    "create_app",
    "require",
]

_PLACES = {
    "Acr": "twinlock.core.proof",
    "CurrentUser": "twinlock.web.guard",
    "Denied": "twinlock.flows.outcomes",
    "Directory": "twinlock.accounts.directory",
    "DirectoryEntry": "twinlock.accounts.directory",
    "EnrollmentRequired": "twinlock.flows.outcomes",
    "OptionalUser": "twinlock.web.guard",
    "SecondFactorRequired": "twinlock.flows.outcomes",
    "SecurityEvent": "twinlock.web.hooks",
    "Settings": "twinlock.config.settings",
    "SignedIn": "twinlock.flows.outcomes",
    "Throttled": "twinlock.flows.outcomes",
    "Twinlock": "twinlock.app",
    "User": "twinlock.core.principal",
    "create_app": "twinlock.app",
    "require": "twinlock.web.guard",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
