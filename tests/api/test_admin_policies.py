"""Policies in the hands of admins: the same rules as on the command line."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.test_admin import admin, renewed
from tests.support.house import PASSWORD, Enrolled, House, bearer, sign_in, token
from twinlock.audit import store as audit
from twinlock.audit.events import EventType

PATH = "/api/admin/policies"


def put(client: TestClient, root: Enrolled, **given: Any) -> Any:
    return client.put(PATH, json=given, headers=root.bearer)


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


def test_a_policy_is_set_listed_and_removed(house: House, client: TestClient) -> None:
    root = admin(house, client)
    john = house.create()

    made = put(client, root, target="account:johndoe", methods=["totp", "totp"])
    listed = client.get(PATH, headers=root.bearer).json()["policies"]

    assert made.status_code == 200
    assert listed == [made.json()]
    assert listed[0] == {
        "target": f"account:{john.subject}",
        "acr": "aal2",
        "from": listed[0]["from"],
        "methods": ["totp"],
        "trusted_devices": False,
        "reminds_by_mail": True,
    }
    assert token(client, "johndoe", PASSWORD).json()["error"] == "enrollment_required"
    gone = client.delete(PATH, params={"target": f"account:{john.subject}"}, headers=root.bearer)
    again = client.delete(PATH, params={"target": "account:johndoe"}, headers=root.bearer)
    assert (gone.status_code, again.status_code) == (204, 404)
    assert token(client, "johndoe", PASSWORD).status_code == 200
    events = [
        event.actor
        for type_ in (EventType.POLICY_SET, EventType.POLICY_REMOVED)
        for event in house.database.reading(audit.list_events, limit=9, type_=type_)
    ]
    assert events == [f"admin:{root.account.subject}"] * 2


def test_a_tightened_policy_shuts_out_at_the_next_request_and_a_loosened_one_lets_back(
    house: House, client: TestClient
) -> None:
    """Refused, not ended: security page, 6."""
    root = admin(house, client)
    house.create()
    tokens = sign_in(client)

    put(client, root, target="everyone")
    assert client.get("/users/me", headers=bearer(tokens)).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert client.post("/token", data=form).json()["error"] == "invalid_grant"

    client.delete(PATH, params={"target": "everyone"}, headers=root.bearer)
    assert client.post("/token", data=form).status_code == 200


def test_a_preview_tells_whom_it_hits_and_sets_nothing(house: House, client: TestClient) -> None:
    root = admin(house, client)
    for n in range(3):
        house.create(f"user{n}", roles=("staff",))
    house.enroll(client, "user2")
    put(client, root, target="role:staff", acr="aal1")

    answer = client.post(f"{PATH}/preview", json={"target": "role:staff"}, headers=root.bearer)
    own = client.post(
        f"{PATH}/preview", json={"target": "role:admin", "acr": "phr"}, headers=root.bearer
    )

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["accounts"], found["behind"], found["is_floor"]) == (3, 2, False)
    assert found["replaced"]["acr"] == "aal1"
    assert (found["locks_out"], own.json()["locks_out"]) == (False, True)
    [listed] = client.get(PATH, headers=root.bearer).json()["policies"]
    assert listed["acr"] == "aal1"


@pytest.mark.parametrize(
    "given, answer",
    [
        ({"target": "somebody"}, (400, "target_invalid")),
        ({"target": "everyone:x"}, (400, "target_invalid")),
        ({"target": "role:two words"}, (400, "target_invalid")),
        ({"target": "account:nobody"}, (404, "not_found")),
        ({"target": "everyone", "methods": ["sms"]}, (400, "unknown_method")),
        ({"target": "everyone", "acr": "phr", "methods": ["totp"]}, (400, "nothing_enrollable")),
        ({"target": "everyone", "acr": "aal3"}, (422, "invalid_request")),
        ({"target": "everyone", "from": "2026-01-01T00:00:00"}, (422, "invalid_request")),
        ({"target": "everyone", "password": "x"}, (422, "invalid_request")),
        ({}, (422, "invalid_request")),
    ],
)
def test_what_is_no_policy_is_refused(
    house: House, client: TestClient, given: dict[str, Any], answer: tuple[int, str]
) -> None:
    root = admin(house, client)

    assert refused(client.put(PATH, json=given, headers=root.bearer)) == answer
    looked = client.post(f"{PATH}/preview", json=given, headers=root.bearer)
    assert looked.status_code in {answer[0], 200}
    assert client.get(PATH, headers=root.bearer).json()["policies"] == []


def test_policies_that_together_no_admin_could_meet_are_refused(
    house: House, client: TestClient
) -> None:
    """Each could be met alone: a passkey for all, and nothing but TOTP for admins."""
    root = admin(house, client)
    later = (house.now + timedelta(days=30)).isoformat()
    assert put(client, root, target="role:admin", methods=["totp"]).status_code == 200

    answer = put(client, root, target="everyone", acr="phr", **{"from": later})

    assert refused(answer) == (400, "last_admin")
    assert len(client.get(PATH, headers=renewed(house, client, root)).json()["policies"]) == 1
