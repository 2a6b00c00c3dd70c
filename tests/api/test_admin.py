"""What an admin can do through the API, and what not."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.house import OPERATOR, PASSWORD, Enrolled, House, bearer, sign_in, token
from twinlock.accounts.directory import Account
from twinlock.accounts.search.store import LIST_BY_EMAIL, LIST_BY_USERNAME
from twinlock.accounts.store import LIST_ACCOUNTS
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.flows.acting import NoLongerAdminError


def admin(house: House, client: TestClient, name: str = "root") -> Enrolled:
    """Make an admin with an authenticator app, signed in just now."""
    house.create(name, roles=("admin",))
    return house.enroll(client, name)


def renewed(house: House, client: TestClient, one: Enrolled) -> dict[str, str]:
    """Sign in again with both factors."""
    house.clock.advance(seconds=30)
    code = one.phone.code(house.now)
    return bearer(sign_in(client, one.account.username, PASSWORD + code))


def user(client: TestClient, headers: dict[str, str], account: Account) -> dict[str, Any]:
    """Read an account as an admin does."""
    answer = client.get(f"/api/admin/users/{account.subject}", headers=headers)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_an_admin_without_a_fresh_second_factor_is_told_to_step_up(
    house: House, client: TestClient
) -> None:
    house.create("weak", roles=("admin",))
    weak = bearer(sign_in(client, "weak"))
    root = admin(house, client)

    assert client.get("/api/admin/users", headers=root.bearer).status_code == 200
    refused = client.get("/api/admin/users", headers=weak)
    house.clock.advance(minutes=9, seconds=59)
    form = {"grant_type": "refresh_token", "refresh_token": root.tokens["refresh_token"]}
    strong = bearer(client.post("/token", data=form).json())
    assert client.get("/api/admin/users", headers=strong).status_code == 200
    house.clock.advance(seconds=1, microseconds=1)
    stale = client.get("/api/admin/users", headers=strong)

    for answer in (refused, stale):
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        assert 'acr_values="aal2"' in challenge
        assert 'max_age="600"' in challenge


def test_accounts_are_listed_page_by_page(house: House, client: TestClient) -> None:
    headers = admin(house, client).bearer
    for n in range(5):
        house.create(f"user{n}")
    seen: list[str] = []
    query = "?limit=2"
    while True:
        page = client.get(f"/api/admin/users{query}", headers=headers).json()
        seen += [one["username"] for one in page["users"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={page['next_cursor']}"

    assert sorted(seen) == ["root", "user0", "user1", "user2", "user3", "user4"]
    assert len(seen) == 6
    assert "$argon2" not in client.get("/api/admin/users", headers=headers).text


def test_the_search_finds_names_and_addresses_by_their_beginning(
    house: House, client: TestClient
) -> None:
    headers = admin(house, client).bearer
    for name, email in [
        ("joan", "x1@example.com"),
        ("John", "john@example.com"),
        ("zoe", "jo@example.com"),
        ("mary", "mary@example.com"),
        ("jo_hn", "y@example.com"),
    ]:
        house.create(name, email=email, full_name=f"A {name}")

    def find(search: str, limit: int = 50) -> list[str]:
        found: list[str] = []
        params: dict[str, Any] = {"search": search, "limit": limit}
        while True:
            page = client.get("/api/admin/users", params=params, headers=headers).json()
            found += [one["username"] for one in page["users"]]
            if page["next_cursor"] is None:
                return found
            params["cursor"] = page["next_cursor"]

    for limit in (1, 2, 50):
        assert find("jo", limit) == ["jo_hn", "joan", "John", "zoe", "root"]
        assert find("JOHN", limit) == ["John", "root"]  # called John Doe
        assert find("jo_", limit) == ["jo_hn"]
        assert find("%", limit) == []
    assert find("mary@exam") == ["mary"]


@pytest.mark.parametrize(
    "cursor",
    ["x", "AAAA", "W10", "WyJjIiwgIngiLCAiIl0", "é", "WyJ1IiwgIgAiLCAiIl0", "%00", "[" * 900],
)
def test_what_no_page_gave_is_no_cursor(sqlite_house: House, cursor: str) -> None:
    with sqlite_house.open() as client:
        headers = admin(sqlite_house, client).bearer
        for params in ({"cursor": cursor}, {"cursor": cursor, "search": "a"}):
            answer = client.get("/api/admin/users", params=params, headers=headers)
            assert answer.status_code == 422


def test_an_admin_makes_accounts_and_chooses_no_password(house: House, client: TestClient) -> None:
    headers = admin(house, client).bearer
    body = {"username": "alice", "email": "alice@example.com", "roles": ["staff"]}

    made = client.post("/api/admin/users", json=body, headers=headers)
    again = client.post("/api/admin/users", json=body, headers=headers)
    chosen = client.post(
        "/api/admin/users", json={"username": "bob", "password": PASSWORD}, headers=headers
    )

    assert made.status_code == 201
    assert made.json()["roles"] == ["staff"]
    assert (again.status_code, again.json()["type"]) == (400, "taken")
    assert chosen.status_code == 422
    assert PASSWORD not in chosen.text
    assert token(client, "alice", "").status_code == 400
    events = house.database.reading(audit.list_events, limit=9, type_=EventType.ACCOUNT_CREATED)
    acting = {one.subject_id: one.actor for one in events}
    assert acting[made.json()["id"]] == f"admin:{house.account('root').subject}"


@pytest.mark.parametrize("field", ["password", "username", "id", "disabled"])
def test_what_an_admin_may_not_change_is_refused(sqlite_house: House, field: str) -> None:
    with sqlite_house.open() as client:
        headers = admin(sqlite_house, client).bearer
        target = sqlite_house.create()

        answer = client.patch(
            f"/api/admin/users/{target.subject}", json={field: "x"}, headers=headers
        )

        assert answer.status_code == 422
        assert sqlite_house.account() == target


def test_new_roles_end_sessions_and_a_new_name_does_not(house: House, client: TestClient) -> None:
    headers = admin(house, client).bearer
    target = house.create()
    hers = bearer(sign_in(client))
    path = f"/api/admin/users/{target.subject}"

    named = client.patch(path, json={"full_name": "J. Doe"}, headers=headers)
    assert named.json()["full_name"] == "J. Doe"
    assert client.get("/users/me", headers=hers).json()["full_name"] == "J. Doe"
    cleared = client.patch(path, json={"full_name": None}, headers=headers)
    assert cleared.json()["full_name"] is None
    roles = client.patch(path, json={"roles": ["staff"]}, headers=headers)
    assert roles.json()["roles"] == ["staff"]
    assert client.get("/users/me", headers=hers).status_code == 401
    two_words = client.patch(path, json={"roles": ["staff admin"]}, headers=headers)
    assert (two_words.status_code, two_words.json()["type"]) == (400, "role_invalid")


def test_disabling_enabling_and_deleting(house: House, client: TestClient) -> None:
    headers = admin(house, client).bearer
    target = house.create()
    tokens = sign_in(client)
    path = f"/api/admin/users/{target.subject}"

    disabled = client.post(f"{path}/disable", headers=headers)
    assert disabled.json()["disabled"] is True
    assert client.get("/users/me", headers=bearer(tokens)).status_code == 401
    assert token(client, "johndoe", PASSWORD).status_code == 400
    assert client.post(f"{path}/enable", headers=headers).json()["disabled"] is False
    assert token(client, "johndoe", PASSWORD).status_code == 200
    assert client.delete(path, headers=headers).status_code == 204
    assert client.get(path, headers=headers).status_code == 404
    assert token(client, "johndoe", PASSWORD).status_code == 400
    events = client.get(f"/api/admin/events?user={target.subject}", headers=headers).json()
    assert "account.deleted" in {one["type"] for one in events["events"]}


def test_signing_out_everywhere_and_unlocking(house: House, client: TestClient) -> None:
    headers = admin(house, client).bearer
    target = house.create()
    tokens = [sign_in(client) for _ in range(2)]
    path = f"/api/admin/users/{target.subject}"

    listed = client.get(f"{path}/sessions", headers=headers).json()["sessions"]
    assert len(listed) == 2
    assert client.delete(f"{path}/sessions", headers=headers).json() == {"ended": 2}
    assert {client.get("/users/me", headers=bearer(one)).status_code for one in tokens} == {401}
    john = house.enroll(client)
    house.clock.advance(seconds=30)
    for _ in range(5):
        token(client, "johndoe", PASSWORD, otp="000000")
    code = john.phone.code(house.now)
    assert token(client, "johndoe", PASSWORD, otp=code).status_code == 400
    assert client.post(f"{path}/unlock", headers=headers).status_code == 204
    assert token(client, "johndoe", PASSWORD, otp=code).status_code == 200


def test_the_last_admin_stays(house: House, client: TestClient) -> None:
    root = admin(house, client)
    path = f"/api/admin/users/{root.account.subject}"

    answers = [
        client.post(f"{path}/disable", headers=root.bearer),
        client.delete(path, headers=root.bearer),
        client.patch(path, json={"roles": []}, headers=root.bearer),
    ]

    assert [(one.status_code, one.json()["type"]) for one in answers] == [(400, "last_admin")] * 3
    assert client.get("/api/admin/users", headers=root.bearer).status_code == 200


def test_an_admin_ends_no_account_of_their_own_while_another_remains(
    house: House, client: TestClient
) -> None:
    house.create("other", roles=("admin",))
    root = admin(house, client)
    path = f"/api/admin/users/{root.account.subject}"

    answers = [
        client.post(f"{path}/disable", headers=root.bearer),
        client.delete(path, headers=root.bearer),
        client.patch(path, json={"roles": ["editor"]}, headers=root.bearer),
    ]

    assert [(one.status_code, one.json()["type"]) for one in answers] == [(400, "own_account")] * 3
    assert client.get("/api/admin/users", headers=root.bearer).status_code == 200


def test_who_is_denied_is_written_down_once_an_hour_for_each_route(
    house: House, client: TestClient
) -> None:
    """ASVS 5.0 16.3.2; whoever asks a thousand times fills no table."""
    root = admin(house, client)
    john = house.create()
    headers = bearer(sign_in(client))

    def denied() -> list[tuple[str | None, str, str, int]]:
        rows = house.database.reading(audit.list_events, limit=100, type_=EventType.ACCESS_DENIED)
        return [
            (row.subject_id, json.loads(row.details)["route"], row.reason, row._mapping["count"])
            for row in rows
        ]

    for number in range(20):
        assert client.get(f"/api/admin/users/{number:032x}", headers=headers).status_code == 403
    assert client.post("/api/admin/users", json={}, headers=headers).status_code == 403

    one, other = denied()
    assert one == (john.subject, "POST /api/admin/users", "role_required", 1)
    assert other == (john.subject, "GET /api/admin/users/{user_id}", "role_required", 20)
    house.clock.advance(minutes=11)
    form = {"grant_type": "refresh_token", "refresh_token": root.tokens["refresh_token"]}
    stale_proof = bearer(client.post("/token", data=form).json())
    for _ in range(3):
        assert client.get("/api/admin/users", headers=stale_proof).status_code == 401
    stale = denied()[0]
    assert stale == (root.account.subject, "GET /api/admin/users", "proof_required", 3)
    house.clock.advance(hours=1)
    client.get("/api/admin/users", headers=bearer(sign_in(client)))
    assert denied()[0] == (john.subject, "GET /api/admin/users", "role_required", 1)


def test_an_admin_who_is_one_no_longer_changes_nothing(house: House, client: TestClient) -> None:
    """A request that was let in before its admin was demoted meets the change's transaction."""
    root = admin(house, client)
    house.create("other", roles=("admin",))
    target = house.create()
    assert client.get("/api/admin/users", headers=root.bearer).status_code == 200
    user = house.runtime.sight.remembered(root.tokens["access_token"])
    assert user is not None
    acting = house.runtime.administration.acting_as(user)
    house.administration.change(house.account("root"), OPERATOR, roles=[], now=house.now)

    with pytest.raises(NoLongerAdminError):
        acting.disable(target, OPERATOR, now=house.now)
    assert not house.account().is_disabled


# --- A reset waits --------------------------------------------------------------------------


def test_a_reset_waits_a_day_and_then_leaves_the_account_in_enrollment(
    house: House, client: TestClient
) -> None:
    root = admin(house, client)
    house.create()
    john = house.enroll(client)
    path = f"/api/admin/users/{john.account.subject}"

    asked = client.post(f"{path}/factor_reset", headers=root.bearer)
    assert asked.status_code == 202
    assert asked.json()["approval_required"] is False
    twice = client.post(f"{path}/factor_reset", headers=root.bearer)
    assert (twice.status_code, twice.json()["type"]) == (400, "reset_pending")
    house.clock.advance(hours=23, minutes=59)
    house.runtime.upkeep.work()
    headers = renewed(house, client, root)
    before = user(client, headers, john.account)
    assert (len(before["factors"]), before["recovery_codes_left"]) == (1, 10)
    signed_in = renewed(house, client, john)
    house.clock.advance(minutes=1)
    house.runtime.upkeep.work()

    after = user(client, renewed(house, client, root), john.account)
    assert (after["factors"], after["recovery_codes_left"]) == ([], 0)
    assert after["awaits_enrollment"] is True
    assert after["factor_reset"] is None
    assert client.get("/users/me", headers=signed_in).status_code == 401
    answer = token(client, "johndoe", PASSWORD)
    assert (answer.status_code, answer.json()["error"]) == (403, "enrollment_required")
    assert token(client, "johndoe", PASSWORD, otp=john.recovery_codes[0]).status_code != 200
    event = house.database.reading(audit.list_events, limit=1, type_=EventType.FACTORS_RESET)[0]
    assert event.actor == f"admin:{root.account.subject}"


def test_a_reset_is_called_off_by_an_admin_and_by_its_owners_change(
    house: House, client: TestClient
) -> None:
    root = admin(house, client)
    house.create()
    john = house.enroll(client)
    path = f"/api/admin/users/{john.account.subject}/factor_reset"

    client.post(path, headers=root.bearer)
    assert client.delete(path, headers=root.bearer).status_code == 204
    assert client.delete(path, headers=root.bearer).status_code == 404
    client.post(path, headers=root.bearer)
    body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
    changed = client.post("/api/account/password", json=body, headers=john.bearer)
    assert changed.status_code == 200
    house.clock.advance(hours=24)
    house.runtime.upkeep.work()

    shown = user(client, renewed(house, client, root), john.account)
    assert len(shown["factors"]) == 1


def test_a_reset_dies_with_the_role_of_who_asked_for_it(house: House, client: TestClient) -> None:
    root, other = admin(house, client), admin(house, client, "other")
    house.create()
    john = house.enroll(client)
    client.post(f"/api/admin/users/{john.account.subject}/factor_reset", headers=root.bearer)
    house.administration.disable(house.account("root"), OPERATOR, now=house.now)
    house.clock.advance(hours=24)
    house.runtime.upkeep.work()

    assert len(user(client, renewed(house, client, other), john.account)["factors"]) == 1


def test_the_reset_of_an_admin_wants_a_second_admin(house: House, client: TestClient) -> None:
    first, target = admin(house, client), admin(house, client, "target")
    second = admin(house, client, "second")
    path = f"/api/admin/users/{target.account.subject}/factor_reset"

    own = client.post(path, headers=target.bearer)
    assert (own.status_code, own.json()["type"]) == (400, "own_account")
    assert client.post(path, headers=first.bearer).json()["approval_required"] is True
    for one in (first, target):
        answer = client.post(f"{path}/approve", headers=one.bearer)
        assert (answer.status_code, answer.json()["type"]) == (400, "second_admin_required")
    house.clock.advance(hours=25)
    house.runtime.upkeep.work()
    headers = renewed(house, client, second)
    assert len(user(client, headers, target.account)["factors"]) == 1
    assert client.post(f"{path}/approve", headers=headers).status_code == 200
    house.runtime.upkeep.work()
    assert user(client, headers, target.account)["factors"] == []


def test_the_reset_of_somebody_else_wants_no_approval(house: House, client: TestClient) -> None:
    first, second = admin(house, client), admin(house, client, "second")
    target = house.create()
    path = f"/api/admin/users/{target.subject}/factor_reset"

    assert client.post(f"{path}/approve", headers=second.bearer).status_code == 404
    client.post(path, headers=first.bearer)
    answer = client.post(f"{path}/approve", headers=second.bearer)
    assert (answer.status_code, answer.json()["type"]) == (400, "approval_not_needed")


# --- Events ---------------------------------------------------------------------------------


def test_events_are_filtered_and_paged(house: House, client: TestClient) -> None:
    headers = admin(house, client).bearer
    house.create()
    for _ in range(3):
        house.clock.advance(seconds=1)
        token(client, "johndoe", "a wrong password")

    def events(**params: Any) -> dict[str, Any]:
        answer = client.get("/api/admin/events", params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    denied = events(type="login.denied", user="johndoe", limit=2)
    rest = events(type="login.denied", user="johndoe", limit=2, cursor=denied["next_cursor"])
    assert [len(one["events"]) for one in (denied, rest)] == [2, 1]
    assert denied["events"][0]["username"] == "johndoe"
    assert len(events(type="login.denied", since=house.now.isoformat())["events"]) == 1
    assert events(since="0001-01-01T00:00:00Z")["events"]
    assert events(since="9999-12-31T23:59:59Z")["events"] == []
    assert client.get("/api/admin/events?user=nobody", headers=headers).status_code == 404
    for query in ("type=x", "since=yesterday", "cursor=x", "limit=0", "user=%00"):
        assert client.get(f"/api/admin/events?{query}", headers=headers).status_code == 422


@pytest.mark.parametrize("user_id", ["x", "%00", "0" * 32, "g" * 32, "é" * 32, "' OR 1=1 --"])
def test_an_id_of_nobody_is_not_found(house: House, client: TestClient, user_id: str) -> None:
    headers = admin(house, client).bearer

    assert client.get(f"/api/admin/users/{user_id}", headers=headers).status_code == 404


def test_a_page_is_read_from_an_index(sqlite_house: House) -> None:
    with sqlite_house.open():
        engine = sqlite_house.database.engine
        for statement in (LIST_ACCOUNTS, LIST_BY_USERNAME, LIST_BY_EMAIL):
            compiled = statement.compile(engine)
            values = tuple("1" for _ in compiled.positiontup or ())
            with engine.connect() as db:
                rows = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
            told = " ".join(str(row[3]) for row in rows)
            assert "SEARCH account USING INDEX" in told
            assert "SCAN" not in told
            assert "TEMP B-TREE" not in told
