"""A host's users and what operators do: policies, the admin API, the command line."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.directory.host import Host, Plain, make_host
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.cli.main import app as program
from twinlock.core.proof import Acr
from twinlock.flows.policy_administration import PolicyAdministration
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator


@pytest.fixture
def host(house: House, tmp_path: Path) -> Iterator[Host]:
    with make_host(house, tmp_path, Plain).open() as opened:
        yield opened


def demand(host: Host, kind: Kind, name: str, *, after: timedelta = timedelta(0)) -> None:
    new = Policy(kind, name, Acr.AAL2, host.house.now + after)
    administration = PolicyAdministration(host.runtime.parts)
    assert administration.set_policy(new, OPERATOR, now=host.house.now) == new


def enroll_inside(host: Host, username: str = "johndoe") -> dict[str, Any]:
    """Sign in where a policy demands a factor that the account has not."""
    asked = begin_login(host.client, username)
    assert asked["status"] == "enrollment_required", asked
    path = "/api/enrollment/totp"
    begun = host.client.post(path, json={"login": asked["login"]}).json()
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    body = {
        "login": asked["login"],
        "enrollment": begun["enrollment"],
        "answer": phone.code(host.house.now),
        "label": "Phone",
    }
    done = host.client.post(f"{path}/confirm", json=body)
    assert done.status_code == 200, done.text
    host.house.clock.advance(seconds=30)
    tokens: dict[str, Any] = done.json()
    return tokens


def test_a_role_of_the_hosts_is_what_a_policy_goes_by(host: Host) -> None:
    host.users.add(roles="staff")
    host.users.add("jane")
    demand(host, Kind.ROLE, "staff")

    assert token(host.client, "johndoe", PASSWORD).json()["error"] == "enrollment_required"
    assert token(host.client, "jane", PASSWORD).status_code == 200
    tokens = enroll_inside(host)
    assert host.me(tokens).status_code == 200
    assert begin_login(host.client)["status"] == "second_factor_required"


def test_a_promotion_brings_the_policy_with_it(host: Host) -> None:
    user_id = host.users.add()
    demand(host, Kind.ROLE, "staff")
    tokens = sign_in(host.client)

    host.users.change(user_id, roles="staff")
    _ = host.auth.changed(user_id)

    assert host.me(tokens).status_code == 401
    assert host.refresh(tokens).status_code == 400
    assert host.me(enroll_inside(host)).status_code == 200


def test_a_demotion_takes_the_policy_away_and_leaves_the_factor(host: Host) -> None:
    user_id = host.users.add(roles="staff")
    demand(host, Kind.ROLE, "staff")
    enroll_inside(host)

    host.users.change(user_id, roles="")

    assert begin_login(host.client)["status"] == "second_factor_required"


def test_until_its_date_a_policy_reminds(host: Host) -> None:
    host.users.add(roles="staff")
    demand(host, Kind.ROLE, "staff", after=timedelta(days=7))

    early = begin_login(host.client)
    host.house.clock.advance(days=7)

    assert early["status"] == "signed_in"
    assert early["enrollment_due"]
    assert host.refresh(early).status_code == 400
    assert host.me(enroll_inside(host)).status_code == 200


def test_the_last_factor_under_a_policy_stays(host: Host) -> None:
    host.users.add(roles="staff")
    demand(host, Kind.ROLE, "staff")
    headers = bearer(enroll_inside(host))
    (factor,) = host.client.get("/api/factors", headers=headers).json()["factors"]

    refused = host.client.delete(f"/api/factors/{factor['id']}", headers=headers)

    assert refused.json()["type"] == "last_factor", refused.text
    assert len(host.client.get("/api/factors", headers=headers).json()["factors"]) == 1


def test_an_own_login_route_is_told_what_will_be_asked(host: Host) -> None:
    plain, staff = host.users.add(roles=""), host.users.add("jane", roles="staff")
    phone = host.users.add("phone")
    demand(host, Kind.ROLE, "staff")
    host.enroll("phone")
    assert host.client.portal is not None
    ask = host.auth.second_factor.is_required

    told = [host.client.portal.call(ask, one) for one in (plain, staff, phone, 999)]

    assert told == [False, True, True, True]


def admin(host: Host) -> dict[str, str]:
    """Sign an administrator in, whom the host calls one."""
    host.users.add("root", roles="admin")
    _, tokens = host.enroll("root")
    return bearer(tokens)


def subject(host: Host, username: str = "johndoe") -> str:
    answer = host.client.get("/api/account", headers=bearer(sign_in(host.client, username)))
    found: str = answer.json()["id"]
    return found


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("POST", "/disable", {}),
        ("POST", "/enable", {}),
        ("DELETE", "", None),
        ("PATCH", "", {"full_name": "Mallory"}),
        ("PATCH", "", {"roles": ["admin"]}),
        ("PATCH", "", {"email": "mallory@example.com"}),
    ],
)
def test_an_admin_changes_nothing_that_is_the_hosts(
    host: Host, method: str, path: str, body: Any
) -> None:
    """And is not told that it was done."""
    root = admin(host)
    host.users.add()
    john = subject(host)
    tokens = sign_in(host.client)
    before = host.client.get(f"/api/admin/users/{john}", headers=root).json()

    answer = host.client.request(method, f"/api/admin/users/{john}{path}", json=body, headers=root)

    assert answer.json()["type"] == "managed_elsewhere", answer.text
    assert host.client.get(f"/api/admin/users/{john}", headers=root).json() == before
    assert host.me(tokens).status_code == 200
    assert token(host.client, "johndoe", PASSWORD).status_code == 200


def test_an_admin_makes_no_account_that_nobody_could_use(host: Host) -> None:
    root = admin(host)

    made = host.client.post("/api/admin/users", json={"username": "ghost"}, headers=root)

    assert made.json()["type"] == "managed_elsewhere", made.text


def test_an_admin_ends_sessions_and_lifts_counts(host: Host) -> None:
    root = admin(host)
    host.users.add()
    john = subject(host)
    phone, tokens = host.enroll()
    for _ in range(5):
        token(host.client, "johndoe", PASSWORD + "000000")
    code = phone.code(host.house.now)
    assert token(host.client, "johndoe", PASSWORD + code).status_code == 400

    unlocked = host.client.post(f"/api/admin/users/{john}/unlock", headers=root)
    ended = host.client.delete(f"/api/admin/users/{john}/sessions", headers=root)

    assert (unlocked.status_code, ended.status_code) == (204, 200)
    assert host.me(tokens).status_code == 401
    assert token(host.client, "johndoe", PASSWORD + code).status_code == 200


def test_who_is_demoted_by_the_host_is_no_admin_any_more(host: Host) -> None:
    root = admin(host)
    host.users.change(1, roles="")
    _ = host.auth.changed(1)

    assert host.client.get("/api/admin/users", headers=root).status_code == 403


def run(host: Host, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    settings = host.house.settings
    for name in ("environment", "data_dir", "database_url", "base_url"):
        monkeypatch.setenv(f"TWINLOCK_{name.upper()}", str(getattr(settings, name)))
    done = CliRunner().invoke(program, words, input=PASSWORD + "\n")
    return done.exit_code, done.output


def test_the_program_makes_no_account_that_nobody_could_use(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host.users.add()
    sign_in(host.client)
    people = tmp_path / "people.csv"
    people.write_text("username,email\nghost,ghost@example.com\n")

    made = run(host, monkeypatch, "user", "create", "ghost", "--password-stdin")
    imported = run(host, monkeypatch, "user", "import", "--allow-no-password", str(people))
    shown = run(host, monkeypatch, "user", "disable", "johndoe")

    assert made[0] == 1
    assert "are an application's own" in made[1]
    assert "are an application's own" in imported[1]
    assert (shown[0], "auth.changed" in shown[1]) == (1, True)
    assert run(host, monkeypatch, "user", "list", "--json")[1].count("username") == 0


def test_a_reset_that_could_reach_nobody_is_refused_and_the_host_can_forget(host: Host) -> None:
    """Mails to a host's users are the host's, and nobody else could stop the reset."""
    root = admin(host)
    user_id = host.users.add()
    john = subject(host)
    _, tokens = host.enroll()

    begun = host.client.post(f"/api/admin/users/{john}/factor_reset", headers=root)
    assert begun.json()["type"] == "owner_unreachable"
    _ = host.auth.forget(user_id)

    assert host.me(tokens).status_code == 401
    fresh = bearer(sign_in(host.client))
    factors = host.client.get("/api/factors", headers=fresh).json()
    assert (factors["factors"], factors["recovery_codes_left"]) == ([], 0)
