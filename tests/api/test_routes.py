"""Every route of ours and everybody who may knock: a route without a verdict fails.

A verdict is one line in `VERDICTS`: who may pass, and the body that gets a request as far as the
question who asks. Everybody signs in anew for each route, so that no answer hangs on another's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import pytest
from httpx2 import Response

from tests.support.fuzzing import NOBODY, own_routes
from tests.support.home import Home
from tests.support.house import OPERATOR, PASSWORD, Enrolled, bearer, begin_login, sign_in


class Who(Enum):
    """Who gets past the guard."""

    ANYBODY = auto()
    SIGNED_IN = auto()
    FRESH = auto()  # signed in, with a second factor of the last ten minutes if there is one
    RECENT = auto()  # signed in, with any proof of the last ten minutes
    ADMIN = auto()  # an admin, with a second factor of the last ten minutes


@dataclass(frozen=True)
class Verdict:
    """Who may pass, and with which body one asks."""

    who: Who
    body: dict[str, Any] = field(default_factory=dict)


def anybody() -> Verdict:
    return Verdict(Who.ANYBODY)


def signed_in(**body: Any) -> Verdict:
    return Verdict(Who.SIGNED_IN, body)


def fresh(**body: Any) -> Verdict:
    return Verdict(Who.FRESH, body)


def recent() -> Verdict:
    return Verdict(Who.RECENT)


def admin(**body: Any) -> Verdict:
    return Verdict(Who.ADMIN, body)


WRONG = "wrong horse battery staple"
VERDICTS = {
    "POST /token": anybody(),
    "POST /revoke": anybody(),
    "GET /users/me": signed_in(),
    "GET /.well-known/jwks.json": anybody(),
    "GET /.well-known/oauth-authorization-server": anybody(),
    "GET /healthz": anybody(),
    "GET /readyz": anybody(),
    "POST /api/login": anybody(),
    "POST /api/login/{method}": anybody(),
    "POST /api/login/{method}/begin": anybody(),
    "POST /api/passkey/begin": anybody(),
    "POST /api/passkey/finish": anybody(),
    "POST /api/enrollment/{method}": anybody(),
    "POST /api/enrollment/{method}/confirm": anybody(),
    "POST /api/logout": signed_in(),
    "GET /api/account": signed_in(),
    "PATCH /api/account": signed_in(full_name="J. Doe"),
    "POST /api/account/password": fresh(current_password=WRONG, new_password=WRONG + "!"),
    "POST /api/account/email": fresh(email="root@example.com"),
    "POST /api/recovery/password": anybody(),
    "POST /api/recovery/password/confirm": anybody(),
    "POST /api/recovery/email/confirm": anybody(),
    "POST /api/recovery/email/cancel": anybody(),
    "POST /api/recovery/factors/cancel": anybody(),
    "POST /api/invitations/confirm": anybody(),
    "POST /api/registration": anybody(),
    "POST /api/registration/confirm": anybody(),
    "GET /api/factors": signed_in(),
    "POST /api/factors/recovery_codes": fresh(),
    "POST /api/factors/{method}": fresh(),
    "POST /api/factors/{method}/confirm": signed_in(enrollment="x", answer="1", label="x"),
    "PATCH /api/factors/{factor_id}": fresh(label="x"),
    "DELETE /api/factors/{factor_id}": fresh(),
    "POST /api/reauthenticate": signed_in(acr="aal1"),
    "POST /api/reauthenticate/{method}": signed_in(reauthentication="x", answer="1"),
    "POST /api/reauthenticate/{method}/begin": signed_in(reauthentication="x"),
    "GET /api/sessions": signed_in(),
    "DELETE /api/sessions": recent(),
    "DELETE /api/sessions/{session_id}": recent(),
    "GET /api/devices": signed_in(),
    "DELETE /api/devices": recent(),
    "DELETE /api/devices/{device_id}": recent(),
    "GET /api/events": signed_in(),
    "GET /api/admin/users": admin(),
    "POST /api/admin/users": admin(username="@"),
    "GET /api/admin/users/{user_id}": admin(),
    "PATCH /api/admin/users/{user_id}": admin(full_name="J. Doe"),
    "DELETE /api/admin/users/{user_id}": admin(),
    "POST /api/admin/users/{user_id}/disable": admin(),
    "POST /api/admin/users/{user_id}/enable": admin(),
    "POST /api/admin/users/{user_id}/unlock": admin(),
    "GET /api/admin/users/{user_id}/sessions": admin(),
    "DELETE /api/admin/users/{user_id}/sessions": admin(),
    "POST /api/admin/users/{user_id}/factor_reset": admin(),
    "POST /api/admin/users/{user_id}/factor_reset/approve": admin(),
    "DELETE /api/admin/users/{user_id}/factor_reset": admin(),
    "DELETE /api/admin/users/{user_id}/email_change": admin(),
    "GET /api/admin/policies": admin(),
    "PUT /api/admin/policies": admin(target="nobody"),
    "DELETE /api/admin/policies": admin(),
    "POST /api/admin/policies/preview": admin(target="everyone"),
    "GET /api/admin/events": admin(),
    "GET /api/admin/invitations": admin(),
    "POST /api/admin/invitations": admin(username="x", email="x@example.com"),
    "DELETE /api/admin/invitations/{invitation_id}": admin(),
    "GET /api/admin/mail": admin(),
    "POST /api/admin/mail/{mail_id}/retry": admin(),
}

ANONYMOUS, DEAD, STEP_UP, ROLE, PASSES = (
    "401 not_authenticated",
    "401 invalid_token",
    "401 insufficient_user_authentication",
    "403 role_required",
    "passes",
)
CALLERS = {
    "anonymous": dict.fromkeys(Who, ANONYMOUS),
    "pending login": dict.fromkeys(Who, DEAD),
    "disabled": dict.fromkeys(Who, DEAD),
    "aal1": dict.fromkeys(Who, PASSES) | {Who.ADMIN: ROLE},
    "aal2": dict.fromkeys(Who, PASSES) | {Who.ADMIN: ROLE},
    "stale aal2": dict.fromkeys(Who, STEP_UP) | {Who.SIGNED_IN: PASSES, Who.ADMIN: ROLE},
    "admin at aal1": dict.fromkeys(Who, PASSES) | {Who.ADMIN: STEP_UP},
    "admin": dict.fromkeys(Who, PASSES),
    "stale admin": dict.fromkeys(Who, STEP_UP) | {Who.SIGNED_IN: PASSES},
}


@dataclass
class Street:
    """The house, and all who knock at its doors."""

    home: Home
    root: Enrolled
    numbers: Iterator[int]

    def headers(self, caller: str) -> dict[str, str]:
        """Sign a caller in, as late as the verdict needs it."""
        house, client = self.home.house, self.home.client
        match caller:
            case "anonymous":
                return {}
            case "pending login":
                return bearer({"access_token": begin_login(client)["login"]})
            case "disabled":
                name = f"gone{next(self.numbers)}"
                tokens = bearer(self.once(name))
                house.administration.disable(house.account(name), OPERATOR, now=house.now)
                return tokens
            case "aal1":
                return bearer(self.once(f"one{next(self.numbers)}"))
            case "admin at aal1":
                return bearer(self.once(f"weak{next(self.numbers)}", roles=("admin",)))
            case "aal2" | "stale aal2":
                tokens = self.twice(self.home.john)
            case _:
                tokens = self.twice(self.root)
        return bearer(self.aged(tokens) if caller.startswith("stale") else tokens)

    def once(self, name: str, **given: Any) -> dict[str, Any]:
        self.home.house.create(name, **given)
        return sign_in(self.home.client, name)

    def twice(self, who: Enrolled) -> dict[str, Any]:
        self.home.house.clock.advance(seconds=30)
        code = who.phone.code(self.home.house.now)
        return sign_in(self.home.client, who.account.username, PASSWORD, otp=code)

    def aged(self, tokens: dict[str, Any]) -> dict[str, Any]:
        """Let ten minutes pass, and renew the access token, which proves nothing anew."""
        self.home.house.clock.advance(minutes=10, seconds=1)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        renewed: dict[str, Any] = self.home.client.post("/token", data=form).json()
        return renewed


@pytest.fixture(scope="module")
def street(standing: Home) -> Street:
    standing.house.clock.advance(seconds=30)
    standing.house.create("root", roles=("admin",))
    root = standing.house.enroll(standing.client, "root")
    return Street(standing, root, iter(range(10_000)))


def told(answer: Response) -> str:
    """Say which guard refused; a denied login is an answer from behind it."""
    type_ = answer.json().get("type") if answer.status_code in {401, 403} else None
    return PASSES if type_ in {None, "login_denied"} else f"{answer.status_code} {type_}"


def test_every_route_has_a_verdict_and_every_verdict_a_route() -> None:
    assert sorted(VERDICTS) == sorted(own_routes())


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_a_route_lets_pass_whom_its_verdict_names(street: Street, name: str) -> None:
    verdict = VERDICTS[name]
    if name not in own_routes():
        pytest.fail("no such route")
    method, template = name.split()
    path = template.replace("{method}", "totp")
    for parameter in ("{factor_id}", "{session_id}", "{device_id}", "{user_id}"):
        path = path.replace(parameter, NOBODY)
    for caller, verdicts in CALLERS.items():
        headers = street.headers(caller)
        body = verdict.body if method in {"POST", "PUT", "PATCH"} else None
        answer = street.home.client.request(method, path, json=body, headers=headers)

        assert answer.status_code < 500, (caller, answer.text)
        if verdict.who is not Who.ANYBODY:
            assert told(answer) == verdicts[verdict.who], (caller, answer.text)


def test_what_is_another_accounts_is_not_there(street: Street) -> None:
    """Ids of John's in the hands of another who is signed in, and fresh."""
    client = street.home.client
    johns = bearer(street.twice(street.home.john))
    factor = client.get("/api/factors", headers=johns).json()["factors"][0]["id"]
    session = client.get("/api/sessions", headers=johns).json()["sessions"][0]["id"]
    other = street.headers("aal1")

    answers = [
        client.patch(f"/api/factors/{factor}", json={"label": "x"}, headers=other),
        client.delete(f"/api/factors/{factor}", headers=other),
        client.delete(f"/api/sessions/{session}", headers=other),
    ]

    assert [one.status_code for one in answers] == [404, 404, 404]
    assert client.get("/users/me", headers=johns).status_code == 200


def test_the_routes_of_the_application_are_those_of_the_table(standing: Home) -> None:
    """What is in the schema is in the table, wherever it was added."""
    listed = standing.house.app.openapi()["paths"]
    shown = {f"{method.upper()} {path}" for path, item in listed.items() for method in item}
    assert {one for one in shown if "/api/" in one} <= set(VERDICTS)
