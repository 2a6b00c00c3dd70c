"""What may be used once is used once, whoever is first: several processes fire at one moment."""

from email.message import EmailMessage
from typing import Any

from tests.factors.suite import EmailCodeKit, codes_in
from tests.races.conftest import Open, Stage
from tests.races.crew import Shot, Told, create, post
from tests.support.house import OPERATOR, PASSWORD, Enrolled, bearer, begin_login, sign_in
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.core.proof import Acr, Reason
from twinlock.flows.account_making import NewAccount
from twinlock.flows.outcomes import Refused
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator

ROUNDS = 5
RACERS = 6


def enrolled(stage: Stage, username: str = "johndoe") -> Enrolled:
    stage.house.create(username)
    return stage.house.enroll(stage.client, username)


def answers(handles: list[str], answer: str, method: str = "totp") -> list[Shot]:
    """Return one answer to each pending login."""
    bodies = [{"login": handle, "answer": answer} for handle in handles]
    return [Shot(post, (f"/api/login/{method}",), {"json": body}) for body in bodies]


def test_one_code_opens_one_session(stage: Stage) -> None:
    """RFC 6238 section 5.2, at two doors at once."""
    john = enrolled(stage)
    for _ in range(ROUNDS):
        handles = [stage.begin() for _ in range(RACERS - 2)]
        code = stage.code(john)
        form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD + code}

        statuses = stage.statuses(
            [*answers(handles, code), Shot(post, ("/token",), {"data": form}),
             Shot(post, ("/token",), {"data": form})]
        )  # fmt: skip

        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 400, 401, 429}


def test_one_code_is_shown_once_by_all_sessions(stage: Stage) -> None:
    """A login and a reauthentication have one step between them."""
    john = enrolled(stage)
    for _ in range(ROUNDS):
        tokens = stage.sign_in(john)
        begun = [
            stage.client.post("/api/reauthenticate", json={}, headers=bearer(tokens)).json()
            for _ in range(3)
        ]
        handles = [stage.begin() for _ in range(3)]
        code = stage.code(john)
        bodies = [{"reauthentication": one["reauthentication"], "answer": code} for one in begun]

        statuses = stage.statuses(
            answers(handles, code)
            + [
                Shot(post, ("/api/reauthenticate/totp",), {"json": body, "tokens": tokens})
                for body in bodies
            ]
        )

        assert statuses.count(200) == 1


def test_one_recovery_code_opens_one_session(stage: Stage) -> None:
    john = enrolled(stage)
    for code in john.recovery_codes[:ROUNDS]:
        stage.house.administration.unlock(john.account, OPERATOR, now=stage.house.now)
        handles = [stage.begin() for _ in range(RACERS)]

        statuses = stage.statuses(answers(handles, code, "recovery_codes"))

        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 401, 429}
    assert len(stage.house.administration.find_sessions(john.account, now=stage.house.now)) == 6


def test_one_pending_login_opens_one_session(stage: Stage) -> None:
    """However many right answers there are to it."""
    john = enrolled(stage)
    codes = iter(john.recovery_codes)
    for _ in range(3):
        handle = stage.begin()
        right = stage.code(john)

        statuses = stage.statuses(
            answers([handle], right)
            + [shot for _ in range(3) for shot in answers([handle], next(codes), "recovery_codes")]
        )

        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 401}


def test_one_reauthentication_steps_up_once(stage: Stage) -> None:
    john = enrolled(stage)
    codes = iter(john.recovery_codes)
    for _ in range(3):
        tokens = stage.sign_in(john)
        begun = stage.client.post("/api/reauthenticate", json={}, headers=bearer(tokens)).json()
        handle = begun["reauthentication"]

        statuses = stage.statuses(
            [
                Shot(
                    post,
                    ("/api/reauthenticate/recovery_codes",),
                    {
                        "json": {"reauthentication": handle, "answer": next(codes)},
                        "tokens": tokens,
                    },
                )
                for _ in range(3)
            ]
        )

        assert statuses.count(200) == 1


def begin_enrollment(stage: Stage, tokens: dict[str, Any]) -> tuple[str, FakeAuthenticator]:
    begun = stage.client.post("/api/factors/totp", json={}, headers=bearer(tokens)).json()
    return begun["enrollment"], FakeAuthenticator.from_uri(begun["options"]["uri"])


def confirm(tokens: dict[str, Any], enrollment: str, answer: str) -> Shot:
    body = {"enrollment": enrollment, "answer": answer}
    return Shot(post, ("/api/factors/totp/confirm",), {"json": body, "tokens": tokens})


def winner_of(told: list[Told], status: int) -> dict[str, Any]:
    """Return what the only winner was told."""
    (body,) = [one.body for one in told if one.status == status]
    return body


def factors(stage: Stage, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    answer = stage.client.get("/api/factors", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["factors"]
    return found


def test_one_enrollment_is_confirmed_once(stage: Stage) -> None:
    for number in range(ROUNDS):
        stage.house.create(f"user{number}")
        tokens = sign_in(stage.client, f"user{number}")
        enrollment, app = begin_enrollment(stage, tokens)
        code = app.code(stage.house.now)

        told = stage.fire([confirm(tokens, enrollment, code) for _ in range(RACERS)])

        won = winner_of(told, 201)
        assert {one.status for one in told} <= {201, 400, 401}
        assert [one["id"] for one in factors(stage, won)] == [won["factor"]["id"]]


def test_two_sessions_enroll_the_first_factor_once(stage: Stage) -> None:
    """Whoever is second must not find an account whose seal knows of one factor only."""
    for number in range(ROUNDS):
        username = f"user{number}"
        stage.house.create(username)
        tokens = [sign_in(stage.client, username) for _ in range(4)]
        begun = [begin_enrollment(stage, one) for one in tokens]
        now = stage.house.now

        told = stage.fire(
            [
                confirm(one, enrollment, app.code(now))
                for one, (enrollment, app) in zip(tokens, begun, strict=True)
            ]
        )

        won = winner_of(told, 201)
        app = begun[[one.status for one in told].index(201)][1]
        stage.house.clock.advance(seconds=30)
        signed_in = sign_in(stage.client, username, PASSWORD + app.code(stage.house.now))
        assert len(factors(stage, won)) == len(factors(stage, signed_in)) == 1
        assert len(won["recovery_codes"]) == 10
        assert not any(stage.is_alive(one) for one in tokens)


def test_the_last_place_for_an_authenticator_is_taken_once(stage: Stage) -> None:
    """Five apps and no sixth."""
    john = enrolled(stage)
    tokens = john.tokens
    for _ in range(3):
        enrollment, app = begin_enrollment(stage, tokens)
        body = {"enrollment": enrollment, "answer": app.code(stage.house.now)}
        done = stage.client.post("/api/factors/totp/confirm", json=body, headers=bearer(tokens))
        tokens = done.json()
    sessions = [tokens, stage.sign_in(john), stage.sign_in(john)]
    begun = [begin_enrollment(stage, one) for one in sessions]

    told = stage.fire(
        [
            confirm(one, enrollment, app.code(stage.house.now))
            for one, (enrollment, app) in zip(sessions, begun, strict=True)
        ]
    )

    assert len(factors(stage, winner_of(told, 201))) == 5


def test_of_two_removals_at_once_one_is_made(stage: Stage) -> None:
    """Together they would have left an account that looks as if it never had a factor."""
    for number in range(ROUNDS):
        user = enrolled(stage, f"user{number}")
        enrollment, app = begin_enrollment(stage, user.tokens)
        body = {"enrollment": enrollment, "answer": app.code(stage.house.now)}
        done = stage.client.post("/api/factors/totp/confirm", json=body, headers=user.bearer).json()
        sessions = [done, stage.sign_in(user)]
        ids = [one["id"] for one in factors(stage, done)]

        told = stage.fire(
            [
                Shot(post, (f"/api/factors/{one}",), {"tokens": tokens, "method": "DELETE"})
                for one, tokens in zip(ids, sessions, strict=True)
            ]
        )

        won = winner_of(told, 200)
        assert len(factors(stage, won)) == 1


def test_the_last_factor_under_a_policy_stays(stage: Stage) -> None:
    """Each of two removals alone would leave a factor; together they would leave none."""
    for number in range(ROUNDS):
        user = enrolled(stage, f"user{number}")
        enrollment, app = begin_enrollment(stage, user.tokens)
        body = {"enrollment": enrollment, "answer": app.code(stage.house.now)}
        done = stage.client.post("/api/factors/totp/confirm", json=body, headers=user.bearer).json()
        sessions = [done, stage.sign_in(user)]
        ids = [one["id"] for one in factors(stage, done)]

        demand = Policy(Kind.ACCOUNT, user.account.subject, Acr.AAL2, stage.house.now)
        made = stage.house.policy_administration.set_policy(demand, OPERATOR, now=demand.since)
        assert made == demand

        told = stage.fire(
            [
                Shot(post, (f"/api/factors/{one}",), {"tokens": tokens, "method": "DELETE"})
                for one, tokens in zip(ids, sessions, strict=True)
            ]
        )

        won = winner_of(told, 200)
        [left] = factors(stage, won)
        gone = stage.client.delete(f"/api/factors/{left['id']}", headers=bearer(won))
        assert gone.status_code == 400


def test_one_refresh_token_is_used_once(open_stage: Open) -> None:
    """Without grace; and whoever is second ends the session (RFC 9700 section 4.14.2)."""
    stage = open_stage(refresh_grace=0)
    stage.house.create()
    for _ in range(ROUNDS):
        tokens = sign_in(stage.client)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

        told = stage.fire([Shot(post, ("/token",), {"data": form}) for _ in range(RACERS)])

        won = winner_of(told, 200)
        assert not stage.is_alive(won)
        assert not stage.is_alive(tokens)


def test_one_refresh_token_gives_one_child_within_the_grace(stage: Stage) -> None:
    """Two tabs of one client."""
    stage.house.create()
    for _ in range(ROUNDS):
        tokens = sign_in(stage.client)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

        told = stage.fire([Shot(post, ("/token",), {"data": form}) for _ in range(RACERS)])

        assert {one.status for one in told} == {200}
        assert len({one.body["refresh_token"] for one in told}) == 1
        assert stage.is_alive(told[0].body)


def test_one_name_is_given_to_one_account(stage: Stage) -> None:
    for number in range(ROUNDS):
        made = stage.fire(
            [
                Shot(create, (f"user{number}", f"user{number}@example.com")),
                Shot(create, (f"USER{number}", f"other{number}@example.com")),
                Shot(create, (f"other{number}", f"User{number}@example.com")),
            ]
        )

        assert made in ([True, False, False], [False, True, True])


def test_no_race_raises_the_alarm(stage: Stage) -> None:
    """Reads on both sides of a change of factors look like a broken seal, and are none."""
    john = enrolled(stage)
    tokens = john.tokens
    for _ in range(ROUNDS):
        handles = [stage.begin() for _ in range(3)]
        code = stage.code(john)
        form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}

        told = stage.fire(
            [
                Shot(post, ("/api/factors/recovery_codes",), {"json": {}, "tokens": tokens}),
                *answers(handles, code),
                Shot(post, ("/token",), {"data": {**form, "otp": code}}),
            ]
        )

        tokens = told[0].body if told[0].status == 201 else stage.sign_in(john)
    denials = stage.house.database.reading(
        audit.list_events, limit=1_000, type_=EventType.LOGIN_DENIED
    )
    assert denials
    assert Reason.SEAL_BROKEN not in {denial.reason for denial in denials}


def test_one_mailed_code_opens_one_session(open_stage: Open) -> None:
    stage = open_stage(email_codes_enabled=True)
    kit = EmailCodeKit()
    kit.set_up(stage.house, stage.client, "johndoe")
    for _ in range(ROUNDS):
        login = begin_login(stage.client)
        stage.client.post("/api/login/email_code/begin", json={"login": login["login"]})
        code = codes_in(stage.trap, "johndoe@example.com")[-1]

        statuses = stage.statuses(answers([login["login"]] * 4, code, "email_code"))

        assert sorted(statuses) == [200, 401, 401, 401]


def test_of_codes_that_are_asked_for_at_once_one_is_mailed(open_stage: Open) -> None:
    stage = open_stage(email_codes_enabled=True)
    kit = EmailCodeKit()
    kit.set_up(stage.house, stage.client, "johndoe")
    sent = len(codes_in(stage.trap, "johndoe@example.com"))
    login = begin_login(stage.client)["login"]

    statuses = stage.statuses(
        [Shot(post, ("/api/login/email_code/begin",), {"json": {"login": login}})] * 4
    )

    codes = codes_in(stage.trap, "johndoe@example.com")[sent:]
    assert len(codes) == statuses.count(200) >= 1
    assert set(statuses) <= {200, 401}
    opened = [
        stage.client.post("/api/login/email_code", json={"login": login, "answer": code})
        for code in codes
    ]
    assert [one.status_code for one in opened].count(200) == 1


def test_one_mailed_link_sets_one_password(stage: Stage) -> None:
    stage.house.create()
    trap = stage.trap
    for number in range(4):
        asked = stage.client.post("/api/recovery/password", json={"username": "johndoe"})
        assert asked.status_code == 202
        token = trap.token()
        bodies = [
            {"token": token, "password": f"a purple bicycle under water {number} {racer}"}
            for racer in range(RACERS)
        ]

        statuses = stage.statuses(
            [Shot(post, ("/api/recovery/password/confirm",), {"json": body}) for body in bodies]
        )

        assert sorted(statuses) == [200] + [400] * (RACERS - 1)


def test_one_invitation_is_accepted_once(open_stage: Open) -> None:
    stage = open_stage(invitations_enabled=True)
    for number in range(3):
        new = NewAccount(f"jane{number}", f"jane{number}@example.com")
        invited = stage.house.runtime.invitations.invite(new, OPERATOR, now=stage.house.now)
        assert not isinstance(invited, Refused)
        token = stage.trap.token(f"jane{number}@example.com")
        bodies = [{"token": token, "password": f"{PASSWORD} {racer}"} for racer in range(4)]

        told: list[Told] = stage.fire(
            [Shot(post, ("/api/invitations/confirm",), {"json": body}) for body in bodies]
        )

        assert sorted(one.status for one in told) == [200, 400, 400, 400]
        (kept,) = [body for body, one in zip(bodies, told, strict=True) if one.status == 200]
        assert sign_in(stage.client, f"jane{number}", kept["password"])


def test_one_registration_makes_one_account(open_stage: Open) -> None:
    stage = open_stage(registration_enabled=True)
    for number in range(2):
        email = f"jane{number}@example.com"
        asked = stage.client.post("/api/registration", json={"email": email})
        assert asked.status_code == 202
        token = stage.trap.token(email)
        bodies = [
            {"token": token, "username": f"jane{number}x{racer}", "password": PASSWORD}
            for racer in range(4)
        ]

        statuses = stage.statuses(
            [Shot(post, ("/api/registration/confirm",), {"json": body}) for body in bodies]
        )

        assert sorted(statuses) == [201, 400, 400, 400]


def test_two_links_to_one_address_make_one_account(open_stage: Open) -> None:
    stage = open_stage(registration_enabled=True)
    for _ in range(2):
        stage.client.post("/api/registration", json={"email": "jane@example.com"})
    messages = stage.trap.messages("jane@example.com")
    assert len(messages) == 2
    bodies = [
        {"token": tokens_in(message), "username": f"jane{number}", "password": PASSWORD}
        for number, message in enumerate(messages)
    ]

    statuses = stage.statuses(
        [Shot(post, ("/api/registration/confirm",), {"json": body}) for body in bodies]
    )

    assert sorted(statuses) == [201, 400]


def tokens_in(message: EmailMessage) -> str:
    """Return the token of a mail's link."""
    body = message.get_body(("plain",))
    assert body is not None
    (link,) = [word for word in body.get_content().split() if word.startswith("http")]
    return str(link).rpartition("/")[2]


def test_an_address_is_confirmed_or_the_change_is_cancelled(stage: Stage) -> None:
    stage.house.create()
    trap = stage.trap
    for number in range(4):
        old, new = stage.house.account().email, f"john{number}@example.org"
        tokens = sign_in(stage.client)
        begun = stage.client.post("/api/account/email", json={"email": new}, headers=bearer(tokens))
        assert begun.status_code == 200
        confirm, cancel = {"token": trap.token(new)}, {"token": trap.token(old)}

        told: list[Told] = stage.fire(
            [Shot(post, ("/api/recovery/email/confirm",), {"json": confirm})] * 2
            + [Shot(post, ("/api/recovery/email/cancel",), {"json": cancel})] * 2
        )

        done = [one.body["status"] for one in told if one.status == 200]
        assert len(done) == 1
        assert stage.house.account().email == (new if done == ["email_changed"] else old)
