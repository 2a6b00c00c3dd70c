"""Every route of the console and everybody who may knock: a new one is tried without being named.

The rule is the API's: an admin, whose second factor was shown within ten minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from httpx2 import Response

from tests.pages.administered import enroll, signed_in
from tests.pages.browser import SITE, Browser
from tests.support.house import BASE_URL, OPERATOR, House
from twinlock.pages import install
from twinlock.testing.authenticator import FakeAuthenticator

OWN = {"Origin": BASE_URL, "Accept": "text/html"}
ROUTES = sorted(
    f"{method} {route.path}"
    for module in install._MODULES
    for route in module.pages.routes
    if isinstance(route, APIRoute) and route.path.startswith("/admin")
    for method in route.methods or ()
)
LOOKING = [route for route in ROUTES if route.startswith("GET")]
SENDING = [route for route in ROUTES if route.startswith("POST")]
SIGN_IN, PROVE, NOT_YOURS, NO_FACTOR, TOO_OLD, OTHER_SITE, PASSES = (
    "sign in",
    "prove again",
    "not for your account",
    "a second factor first",
    "open for too long",
    "another site",
    "passes",
)


@dataclass
class Street:
    """The house, the account that every path is about, and who knocks."""

    house: House
    target: str
    browsers: dict[str, Browser]

    def path(self, route: str) -> str:
        """Fill in a route's path."""
        found = route.partition(" ")[2].replace("{user_id}", self.target)
        found = found.replace("{action}", "unlock").replace("{session_id}", "0" * 32)
        return found.replace("{kid}", "0" * 32).replace("{mail_id}", "0" * 32)

    def knock(self, who: str, route: str, **given: str) -> Response:
        """Send what a browser would send."""
        browser = self.browsers[who]
        if route.startswith("GET"):
            return browser.client.get(self.path(route), headers=OWN, follow_redirects=False)
        data = {"csrf": self.csrf(who), **given}
        return browser.client.post(self.path(route), data=data, headers=OWN, follow_redirects=False)

    def csrf(self, who: str) -> str:
        """Return the token of a session's forms, from a page that every account may see."""
        browser = self.browsers[who]
        browser.open("/account")
        forms = [form for form in browser.read().forms if form.action == "/logout"]
        return forms[0].fields["csrf"] if forms else "0" * 64


def told(answer: Response) -> str:
    """Say who was taken for whom."""
    where = answer.headers.get("location", "")
    if where.startswith("/login"):
        return SIGN_IN
    if where.startswith("/reauthenticate"):
        return PROVE
    if answer.status_code != 403:
        return PASSES
    for words, meaning in (
        ("This page is not for your account", NOT_YOURS),
        ("This page was open for too long", TOO_OLD),
        ("second factor", NO_FACTOR),
    ):
        if words in answer.text:
            return meaning
    return OTHER_SITE


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Street]:
    """Sign everybody in once; what a caller is allowed is not changed by any knock."""

    def house(name: str) -> House:
        folder = tmp_path_factory.mktemp(name)
        database = folder / "twinlock.sqlite3"
        database.write_bytes(migrated_sqlite.read_bytes())
        return House(folder, f"sqlite:///{database}", invitations_enabled=True)

    def admin(here: House, name: str) -> tuple[Browser, FakeAuthenticator]:
        here.create(name, roles=("admin",))
        phone = enroll(here, name)
        return signed_in(here, name, phone), phone

    mine, other = house("mine"), house("other")
    with other.open():
        stranger, _ = admin(other, "root")
        cookie = stranger.client.cookies["__Host-twinlock"]
    with mine.open():
        target = mine.create("alice").subject
        stale, _ = admin(mine, "stale")
        mine.clock.advance(minutes=10, seconds=1)
        root, _ = admin(mine, "root")
        demoted, _ = admin(mine, "demoted")
        mine.administration.change(
            mine.account("demoted"), OPERATOR, roles=("editor",), now=mine.now
        )
        mine.create("bob")
        user = signed_in(mine, "bob", enroll(mine, "bob"))
        mine.create("weak", roles=("admin",))
        weak = Browser(mine.client())
        weak.sign_in("weak")
        elsewhere = Browser(mine.client())
        elsewhere.client.cookies.set("__Host-twinlock", cookie)
        yield Street(
            mine,
            target,
            {
                "anonymous": Browser(mine.client()),
                "user": user,
                "admin at aal1": weak,
                "stale admin": stale,
                "demoted admin": demoted,
                "another instance's admin": elsewhere,
                "admin": root,
            },
        )


VERDICTS = {
    "anonymous": SIGN_IN,
    "user": NOT_YOURS,
    "admin at aal1": NO_FACTOR,
    "stale admin": PROVE,
    "demoted admin": SIGN_IN,
    "another instance's admin": SIGN_IN,
    "admin": PASSES,
}


@pytest.mark.parametrize("who", VERDICTS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_lets_pass_whom_the_api_would(street: Street, route: str, who: str) -> None:
    before = street.house.account("alice")

    answer = street.knock(who, route)

    assert told(answer) == VERDICTS[who], answer.text[-2000:]
    assert answer.status_code < 500
    assert street.house.account("alice") == before  # without its `seen`, no form does anything


@pytest.mark.parametrize("route", SENDING)
def test_no_form_is_taken_without_the_token_of_its_session(street: Street, route: str) -> None:
    theirs = street.csrf("user")
    for token in ("", "0" * 64, theirs, "é"):
        assert told(street.knock("admin", route, csrf=token)) == TOO_OLD, token


@pytest.mark.parametrize("route", SENDING)
def test_no_form_is_taken_from_another_site(street: Street, route: str) -> None:
    browser = street.browsers["admin"]
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        answer = browser.client.post(
            street.path(route),
            data={"csrf": street.csrf("admin")},
            headers={**headers, "Accept": "text/html"},
            follow_redirects=False,
        )
        assert answer.status_code == 403, headers


@pytest.mark.parametrize("route", ROUTES)
def test_the_headers_are_those_of_every_page(street: Street, route: str) -> None:
    for who in ("anonymous", "user", "admin"):
        headers = street.knock(who, route).headers
        assert "no-store" in headers["cache-control"], who
        assert "'unsafe" not in headers["content-security-policy"], who
        assert (
            headers["x-frame-options"] == "DENY"
            or "frame-ancestors 'none'" in headers["content-security-policy"]
        ), who


def test_the_table_is_of_this_console() -> None:
    assert len(LOOKING) >= 15
    assert len(SENDING) >= 8
    assert SITE.startswith("https://")


def test_a_get_changes_nothing(street: Street) -> None:
    """What a link, an image or a prefetch can ask for does nothing."""
    before = street.house.runtime.keys.list_keys()
    for route in LOOKING:
        street.knock("admin", route)
    assert street.house.runtime.keys.list_keys() == before
