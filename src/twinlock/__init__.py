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
    from twinlock.config.settings import Settings as Settings
    from twinlock.core.errors import ConfigurationError as ConfigurationError
    from twinlock.core.errors import DatabaseUnavailableError as DatabaseUnavailableError
    from twinlock.core.errors import DirectoryError as DirectoryError
    from twinlock.core.errors import InstallationError as InstallationError
    from twinlock.core.errors import TwinlockError as TwinlockError
    from twinlock.core.errors import UncommittedWritesError as UncommittedWritesError
    from twinlock.core.principal import User as User
    from twinlock.core.proof import Acr as Acr
    from twinlock.flows.outcomes import Denied as Denied
    from twinlock.flows.outcomes import EnrollmentRequired as EnrollmentRequired
    from twinlock.flows.outcomes import SecondFactorRequired as SecondFactorRequired
    from twinlock.flows.outcomes import SignedIn as SignedIn
    from twinlock.flows.outcomes import Throttled as Throttled
    from twinlock.login_server import create_app as create_app
    from twinlock.web.guard import CurrentUser as CurrentUser
    from twinlock.web.guard import OptionalUser as OptionalUser
    from twinlock.web.guard import require as require
    from twinlock.web.hooks import SecurityEvent as SecurityEvent
    from twinlock.web.layer import ForwardAuth as ForwardAuth
    from twinlock.web.layer import GuardLayer as GuardLayer
    from twinlock.web.recognition import NotInstalledError as NotInstalledError

__version__ = "0.1.0"

__all__ = [
    "Acr",
    "ConfigurationError",
    "CurrentUser",
    "DatabaseUnavailableError",
    "Denied",
    "Directory",
    "DirectoryEntry",
    "DirectoryError",
    "EnrollmentRequired",
    "ForwardAuth",
    "GuardLayer",
    "InstallationError",
    "NotInstalledError",
    "OptionalUser",
    "SecondFactorRequired",
    "SecurityEvent",
    "Settings",
    "SignedIn",
    "Throttled",
    "Twinlock",
    "TwinlockError",
    "UncommittedWritesError",
    "User",
    "create_app",
    "require",
]

_PLACES = {
    "Acr": "twinlock.core.proof",
    "ConfigurationError": "twinlock.core.errors",
    "CurrentUser": "twinlock.web.guard",
    "DatabaseUnavailableError": "twinlock.core.errors",
    "Denied": "twinlock.flows.outcomes",
    "Directory": "twinlock.accounts.directory",
    "DirectoryEntry": "twinlock.accounts.directory",
    "DirectoryError": "twinlock.core.errors",
    "EnrollmentRequired": "twinlock.flows.outcomes",
    "ForwardAuth": "twinlock.web.layer",
    "GuardLayer": "twinlock.web.layer",
    "InstallationError": "twinlock.core.errors",
    "NotInstalledError": "twinlock.web.recognition",
    "OptionalUser": "twinlock.web.guard",
    "SecondFactorRequired": "twinlock.flows.outcomes",
    "SecurityEvent": "twinlock.web.hooks",
    "Settings": "twinlock.config.settings",
    "SignedIn": "twinlock.flows.outcomes",
    "Throttled": "twinlock.flows.outcomes",
    "Twinlock": "twinlock.app",
    "TwinlockError": "twinlock.core.errors",
    "UncommittedWritesError": "twinlock.core.errors",
    "User": "twinlock.core.principal",
    "create_app": "twinlock.login_server",
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
