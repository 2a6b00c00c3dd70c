"""Resets that wait: several processes may do them, and both sides may call them off."""

from typing import Any

from tests.races.conftest import Stage
from tests.races.crew import Shot, post, reset_due
from tests.support.house import PASSWORD, Enrolled, bearer, sign_in
from twinlock.audit import store as audit
from twinlock.audit.events import EventType

ROUNDS = 4
REMOVED = "Twinlock: your second factors were removed"


def enrolled(stage: Stage, username: str, **given: Any) -> Enrolled:
    stage.house.create(username, **given)
    return stage.house.enroll(stage.client, username)


def renewed(stage: Stage, root: Enrolled) -> dict[str, str]:
    """Sign the admin in anew, whatever the hour."""
    code = stage.code(root)
    return bearer(sign_in(stage.client, "root", PASSWORD, otp=code))


def path_of(owner: Enrolled) -> str:
    return f"/api/admin/users/{owner.account.subject}/factor_reset"


def events(stage: Stage, type_: EventType) -> int:
    return len(stage.house.database.reading(audit.list_events, limit=100, type_=type_))


def test_a_reset_is_done_by_one_of_many_and_mailed_once(stage: Stage) -> None:
    trap = stage.trap
    root = enrolled(stage, "root", roles=("admin",))
    for number in range(ROUNDS):
        owner = enrolled(stage, f"user{number}")
        asked = stage.client.post(path_of(owner), headers=renewed(stage, root))
        assert asked.status_code == 202
        stage.house.clock.advance(hours=24)

        done = stage.fire([Shot(reset_due)] * 6)

        assert sum(done) == 1
        assert events(stage, EventType.FACTORS_RESET) == number + 1
        assert trap.subjects(f"user{number}@example.com").count(REMOVED) == 1


def test_a_reset_is_done_or_called_off_never_both(stage: Stage) -> None:
    """The upkeep, the owner's link and an admin at one moment: one of them wins."""
    trap = stage.trap
    root = enrolled(stage, "root", roles=("admin",))
    for number in range(ROUNDS):
        owner = enrolled(stage, f"user{number}")
        stage.client.post(path_of(owner), headers=renewed(stage, root))
        link = {"token": trap.token(f"user{number}@example.com")}
        stage.house.clock.advance(hours=24)
        tokens = sign_in(stage.client, "root", PASSWORD, otp=stage.code(root))

        *done, stopped, deleted = stage.fire(
            [
                Shot(reset_due),
                Shot(reset_due),
                Shot(post, ("/api/recovery/factors/cancel",), {"json": link}),
                Shot(post, (path_of(owner),), {"tokens": tokens, "method": "DELETE"}),
            ]
        )

        called_off = (stopped.status == 200) + (deleted.status == 204)
        assert sum(done) + called_off == 1
        subject = owner.account.subject
        shown = stage.client.get(f"/api/admin/users/{subject}", headers=bearer(tokens)).json()
        assert shown["awaits_enrollment"] is (called_off == 0)
        assert len(shown["factors"]) == called_off
