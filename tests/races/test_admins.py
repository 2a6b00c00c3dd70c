"""What admins ask for, done by several processes at once, and by two admins against each other."""

from datetime import timedelta

from tests.races.conftest import Stage
from tests.races.crew import Shot, emails_due, post, remind
from tests.support.house import OPERATOR, PASSWORD, Enrolled, bearer, sign_in
from twinlock.core.proof import Acr
from twinlock.policies.policy import Kind, Policy

ROUNDS = 3


def root(stage: Stage, name: str) -> Enrolled:
    stage.house.create(name, roles=("admin",))
    return stage.house.enroll(stage.client, name)


def test_everybody_is_reminded_once_by_many_workers(stage: Stage) -> None:
    trap = stage.trap
    for number in range(12):
        stage.house.create(f"user{number}")
    since = stage.house.now + timedelta(days=5)
    new = Policy(Kind.EVERYONE, "", Acr.AAL2, since)
    stage.house.policy_administration.set_policy(new, OPERATOR, now=stage.house.now)

    done = stage.fire([Shot(remind)] * 6)

    assert sum(done) == 12
    told = sorted(str(message["To"]) for message in trap.messages())
    assert told == sorted(f"user{number}@example.com" for number in range(12))


def test_an_address_takes_hold_or_is_stopped(stage: Stage) -> None:
    trap = stage.trap
    admin = root(stage, "root")
    for number in range(ROUNDS):
        john = stage.house.create(f"user{number}")
        tokens = sign_in(stage.client, "root", PASSWORD, otp=stage.code(admin))
        new = f"new{number}@example.org"
        path = f"/api/admin/users/{john.subject}"
        asked = stage.client.patch(path, json={"email": new}, headers=bearer(tokens))
        assert asked.status_code == 200
        link = {"token": trap.token(f"user{number}@example.com")}
        stage.house.clock.advance(hours=24)

        *done, stopped = stage.fire(
            [
                *[Shot(emails_due)] * 3,
                Shot(post, ("/api/recovery/email/cancel",), {"json": link}),
            ]
        )

        assert sum(done) + (stopped.status == 200) == 1
        is_new = stage.house.account(f"user{number}").email == new
        assert is_new is (stopped.status != 200)


def test_two_admins_disable_each_other_over_http(stage: Stage) -> None:
    """The loser is an admin no longer when the own change is made; one admin is left."""
    for number in range(ROUNDS):
        one, other = root(stage, f"one{number}"), root(stage, f"other{number}")

        told = stage.fire(
            [
                Shot(
                    post,
                    (f"/api/admin/users/{target.account.subject}/disable",),
                    {"tokens": actor.tokens},
                )
                for actor, target in ((one, other), (other, one))
            ]
        )

        assert [answer.status for answer in told].count(200) == 1
        states = [stage.house.account(f"{who}{number}").is_disabled for who in ("one", "other")]
        assert sorted(states) == [False, True]


def test_a_deleted_account_is_signed_in_nowhere(stage: Stage) -> None:
    admin = root(stage, "root")
    for number in range(ROUNDS):
        john = stage.house.create(f"user{number}")
        form = {"grant_type": "password", "username": john.username, "password": PASSWORD}
        tokens = sign_in(stage.client, "root", PASSWORD, otp=stage.code(admin))
        path = f"/api/admin/users/{john.subject}"

        deleted, *signed_in = stage.fire(
            [
                Shot(post, (path,), {"tokens": tokens, "method": "DELETE"}),
                *[Shot(post, ("/token",), {"data": form})] * 4,
            ]
        )

        if deleted.status != 204:  # a sign-in may have moved the account on
            assert deleted.body["type"] == "changed_meanwhile"
            continue
        assert not any(stage.is_alive(one.body) for one in signed_in if one.status == 200)
