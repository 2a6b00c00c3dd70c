"""What pages find around them."""

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import Provide


@pytest.fixture
def _development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINLOCK_ENVIRONMENT", "development")


@pytest.fixture
def provide(monkeypatch: pytest.MonkeyPatch) -> Provide:
    """Put a module of the reader's where the page imports it from."""

    def provide(module: str, **held: Any) -> None:
        made = ModuleType(module)
        for name, value in held.items():
            setattr(made, name, value)
        monkeypatch.setitem(sys.modules, module, made)

    return provide
