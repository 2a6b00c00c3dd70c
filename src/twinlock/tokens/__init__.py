"""The one public name here, loaded when it is asked for (PEP 562).

`Verifier` is promised under this name; what it is made of lies in ``web``, above this block.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinlock.web.verifier import Verifier as Verifier

__all__ = ["Verifier"]


def __getattr__(name: str) -> Any:
    if name != "Verifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("twinlock.web.verifier").Verifier
