"""A path of ours with slashes at its end is nothing, and redirects to no host of the client's."""

import pytest

from tests.web.conftest import Door


@pytest.mark.parametrize("slashes", ["/", "//", "///"])
@pytest.mark.parametrize(
    "path", ["/token", "/revoke", "/users/me", "/api/login", "/api/login/totp"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_slashes_at_the_end_are_answered_404(
    door: Door, method: str, path: str, slashes: str
) -> None:
    answer = door.client.request(
        method,
        door.path(path) + slashes,
        headers={"Host": "evil.example"},
        follow_redirects=False,
    )

    assert (answer.status_code, answer.headers.get("location")) == (404, None)
