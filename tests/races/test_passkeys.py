"""One answer of a passkey opens one session, and one of two last passkeys stays."""

from typing import Any

from sqlalchemy import text

from tests.races.conftest import Stage
from tests.races.crew import Shot, post
from tests.support.house import bearer, sign_in
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.testing.authenticator import FakeAuthenticator

ROUNDS = 5
RACERS = 6


def test_one_answer_opens_one_session(stage: Stage) -> None:
    """Synced passkeys have no counter: the handle is what is spent."""
    for is_synced in (True, False):
        device = FakeAuthenticator(is_synced=is_synced)
        name = f"john-{is_synced}".lower()
        stage.house.create(name)
        stage.house.enroll_passkey(stage.client, device, sign_in(stage.client, name))
        for _ in range(ROUNDS):
            stage.house.clock.advance(minutes=6)
            begun = stage.client.post("/api/passkey/begin", json={}).json()
            body = {"login": begun["login"], "answer": device.get(begun["options"])}

            statuses = stage.statuses(
                [Shot(post, ("/api/passkey/finish",), {"json": body})] * (RACERS - 1)
            )

            assert statuses.count(200) == 1
            assert set(statuses) <= {200, 401}
    alarms = stage.house.database.reading(
        audit.list_events, limit=9, type_=EventType.PASSKEY_COPIED
    )
    assert not alarms  # a repeat is no copy


def test_one_of_two_last_passkeys_stays(stage: Stage) -> None:
    stage.house.create()
    tokens: dict[str, Any] = sign_in(stage.client)
    for _ in range(2):
        tokens = stage.house.enroll_passkey(stage.client, FakeAuthenticator(), tokens)
    stage.house.database.transaction(
        lambda tx: tx.execute(text("UPDATE account SET password_hash = NULL"))
    )
    factors = stage.client.get("/api/factors", headers=bearer(tokens)).json()["factors"]
    paths = [f"/api/factors/{one['id']}" for one in factors]

    statuses = stage.statuses(
        [Shot(post, (path,), {"tokens": tokens, "method": "DELETE"}) for path in paths]
    )

    assert statuses[0] == 200
    assert statuses[1] in {400, 401}
    left = stage.house.database.reading(
        lambda db: db.execute(text("SELECT count(*) FROM passkey")).scalar_one()
    )
    assert left == 1
