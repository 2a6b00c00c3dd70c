"""What test suites of applications import; the fixtures come by themselves (``plugin.py``).

The names are loaded when they are asked for (PEP 562): pytest loads this package wherever
Twinlock is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinlock.accounts.directory import Account as Account
    from twinlock.testing.authenticator import FakeAuthenticator as FakeAuthenticator
    from twinlock.testing.clock import MovableClock as MovableClock
    from twinlock.testing.instances import Instances as Instances
    from twinlock.testing.mail import MailTrap as MailTrap
    from twinlock.testing.people import CreateUser as CreateUser
    from twinlock.testing.people import LoginAs as LoginAs

__all__ = [
    "Account",
    "CreateUser",
    "FakeAuthenticator",
    "Instances",
    "LoginAs",
    "MailTrap",
    "MovableClock",
]

_PLACES = {
    "Account": "twinlock.accounts.directory",
    "CreateUser": "twinlock.testing.people",
    "FakeAuthenticator": "twinlock.testing.authenticator",
    "Instances": "twinlock.testing.instances",
    "LoginAs": "twinlock.testing.people",
    "MailTrap": "twinlock.testing.mail",
    "MovableClock": "twinlock.testing.clock",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(place), name)
