"""The Python of pages runs: each page from its first line, as a reader would type it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.docs.test_docs import DOCS, blocks
from twinlock import Twinlock

PAGES = [
    page
    for page in sorted([DOCS / "from-the-tutorial.md", *(DOCS / "how-to").glob("*.md")])
    if blocks(page, "python")
]
OF_EXAMPLES = {"from-fastapi-users.md"}
"""Pages whose code is a cut of an example, which has tests of its own."""


class Base(DeclarativeBase): ...


class Person(Base):
    """What a page may mean by a table of yours."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str]
    email: Mapped[str]
    hashed_password: Mapped[str]
    is_active: Mapped[bool]
    roles: Mapped[str] = mapped_column(String)
    created_at: Mapped[str]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What pages call yours, and what they made in words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWINLOCK_ENVIRONMENT", "development")
    yours: dict[str, dict[str, Any]] = {
        "myapp": {"app": FastAPI(), "auth": Twinlock(), "Person": Person},
        "myapp.models": {"Person": Person},
        "myapp.login": {"LoginForm": dict, "check_password": str},
        "app": {"create_app": FastAPI},
    }
    for name, held in yours.items():
        module = ModuleType(name)
        for attribute, value in held.items():
            setattr(module, attribute, value)
        monkeypatch.setitem(sys.modules, name, module)
    return {"app": FastAPI(), "auth": Twinlock(), "admin_app": FastAPI(), "__name__": "page"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, given: dict[str, Any]) -> None:
    if page.name in OF_EXAMPLES:
        pytest.skip("tests/examples runs the whole of it")
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), given)
