"""A how-to page as a program: its Python runs from its first line, with what a reader has."""

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from tests.docs.test_docs import DOCS, blocks
from twinlock.testing import FakeAuthenticator

PASSWORD = "correct horse battery staple"
BASE_URL = "http://localhost:8000"

Names = dict[str, Any]
Provide = Callable[..., None]


def run(page: str, *, given: Names | None = None, only: slice = slice(None)) -> Names:
    """Run the Python of a page from its first line; return what it has made."""
    names: Names = {"__name__": "page", **(given or {})}
    path = DOCS / "how-to" / f"{page}.md"
    for code in blocks(path, "python")[only]:
        exec(compile(code, str(path), "exec"), names)
    return names


def enroll(client: TestClient, headers: dict[str, str], now: Any) -> tuple[FakeAuthenticator, Any]:
    """Enroll an app; return it, and the tokens that the change left."""
    begun = client.post("/api/factors/totp", headers=headers).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    answer = {"enrollment": begun["enrollment"], "answer": phone.code(now)}
    confirmed = client.post("/api/factors/totp/confirm", json=answer, headers=headers)
    assert confirmed.status_code == 201, confirmed.text
    return phone, confirmed.json()
