"""People who sign in, and an exact book of what each was told (goal R1).

One thing at a time for each person: so at most one of their requests is unanswered when the
server dies, and the store can be compared with the book to the last row.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from benchmarks.installation import PASSWORD, Person
from reliability.client import Client, NotSentError, UnansweredError, members
from reliability.report import Report
from twinlock.factors.totp import otpauth, rfc6238

Kind = Literal["token", "two_steps", "recovery", "refresh", "logout", "enroll"]


@dataclass(frozen=True, slots=True)
class Unsure:
    """A request without an answer.

    Attributes:
        secret: The code or token that it was to spend.
        step: The time step of a TOTP code.
        sent_at: When it was sent, by the monotonic clock.
    """

    kind: Kind
    secret: str
    step: int = 0
    sent_at: float = field(default_factory=time.monotonic)


@dataclass
class Visitor:
    """Somebody, and the book about them.

    Attributes:
        sessions: Sessions that they were told were opened.
        is_counted: Whether `sessions` is all there is; an enrollment leaves older ones, which the
            checker counts before they act again.
        codes_spent: Recovery codes that were told to be spent.
        tokens: The newest tokens they were given; None while they have no session.
        refreshed: How often the session of the tokens was refreshed.
        spent: The newest code that opened a session, and its time step.
    """

    person: Person
    client: Client
    sessions: int = 0
    is_counted: bool = True
    codes_spent: int = 0
    tokens: dict[str, Any] | None = None
    refreshed: int = 0
    spent: tuple[str, int] | None = None
    unsure: Unsure | None = None
    ended: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.person.username

    def settle_by(self, status: int) -> None:
        """Know what came of it, unless the server itself did not (503)."""
        if status != 503:
            self.unsure = None

    def begin_session(self, tokens: dict[str, Any]) -> None:
        self.sessions += 1
        self.tokens = tokens
        self.refreshed = 0


def step_now() -> int:
    return int(time.time()) // 30


def code_of(person: Person, step: int) -> str:
    return rfc6238.totp(person.key, at=datetime.fromtimestamp(step * 30, UTC))


async def act(visitor: Visitor, kind: Kind, report: Report) -> None:
    """Do one thing, and write down what came of it."""
    try:
        match kind:
            case "token":
                await _sign_in_at_token(visitor, report)
            case "two_steps":
                await _sign_in_in_two_steps(visitor, report)
            case "recovery":
                await _sign_in_with_recovery_code(visitor, report)
            case "refresh":
                await _refresh(visitor, report)
            case "logout":
                await _log_out(visitor, report)
            case "enroll":
                await _enroll(visitor, report)
    except NotSentError:
        visitor.unsure = None
        report.count("not sent")
    except UnansweredError:
        report.count(f"unanswered {kind}")


def choose(visitor: Visitor, number: float) -> Kind | None:
    """Return what somebody may do now: *number* is drawn from 0 to 1."""
    if not visitor.person.key:
        return "enroll"
    if not visitor.is_counted:
        return None
    if visitor.tokens is not None and number < 0.5:
        return "refresh" if number < 0.45 else "logout"
    if visitor.person.last_step < step_now():
        return "token" if number < 0.75 else "two_steps"
    return "recovery" if visitor.person.recovery_codes and number > 0.97 else None


async def _sign_in_at_token(visitor: Visitor, report: Report) -> None:
    step = _take_step(visitor)
    code = code_of(visitor.person, step)
    visitor.unsure = Unsure("token", code, step)
    reply = await visitor.client.form(
        "/token", grant_type="password", username=visitor.name, password=PASSWORD + code
    )
    visitor.settle_by(reply.status)
    if _was_told(reply.status, 200, "token", report):
        visitor.spent = (code, step)
        visitor.begin_session(reply.json())


async def _sign_in_in_two_steps(visitor: Visitor, report: Report) -> None:
    login = await _begin(visitor, report)
    if login is None:
        return
    step = _take_step(visitor)
    code = code_of(visitor.person, step)
    visitor.unsure = Unsure("two_steps", code, step)
    reply = await visitor.client.post("/api/login/totp", {"login": login, "answer": code})
    visitor.settle_by(reply.status)
    if _was_told(reply.status, 200, "two_steps", report):
        visitor.spent = (code, step)
        visitor.begin_session(reply.json())


async def _sign_in_with_recovery_code(visitor: Visitor, report: Report) -> None:
    login = await _begin(visitor, report)
    if login is None:
        return
    code = visitor.person.recovery_codes.pop()
    visitor.unsure = Unsure("recovery", code)
    body = {"login": login, "answer": code}
    reply = await visitor.client.post("/api/login/recovery_codes", body)
    visitor.settle_by(reply.status)
    if _was_told(reply.status, 200, "recovery", report):
        visitor.codes_spent += 1
        visitor.begin_session(reply.json())


async def _refresh(visitor: Visitor, report: Report) -> None:
    assert visitor.tokens is not None
    token = visitor.tokens["refresh_token"]
    visitor.unsure = Unsure("refresh", token)
    reply = await visitor.client.form("/token", grant_type="refresh_token", refresh_token=token)
    visitor.settle_by(reply.status)
    if _was_told(reply.status, 200, "refresh", report):
        visitor.tokens = reply.json()
        visitor.refreshed += 1
    elif reply.status == 400:
        report.expect(False, f"{visitor.name}: a refresh token that was given is refused")


async def _log_out(visitor: Visitor, report: Report) -> None:
    assert visitor.tokens is not None
    tokens = visitor.tokens
    visitor.unsure = Unsure("logout", tokens["access_token"])
    reply = await visitor.client.post("/api/logout", {}, token=tokens["access_token"])
    visitor.settle_by(reply.status)
    if reply.status == 401:  # ten minutes old: it says nothing about the session
        return
    if _was_told(reply.status, 204, "logout", report):
        visitor.tokens = None
        visitor.ended = [*visitor.ended[-2:], tokens]


async def _enroll(visitor: Visitor, report: Report) -> None:
    if visitor.tokens is None:
        reply = await visitor.client.form(
            "/token", grant_type="password", username=visitor.name, password=PASSWORD
        )
        if not _was_told(reply.status, 200, "password only", report):
            return
        visitor.begin_session(reply.json())
    assert visitor.tokens is not None
    token = visitor.tokens["access_token"]
    begun = await visitor.client.post("/api/factors/totp", {}, token=token)
    if begun.status != 200:
        visitor.tokens = None
        return
    parsed = otpauth.parse_uri(members(begun)["options"]["uri"])
    assert isinstance(parsed, otpauth.Parsed)
    visitor.person.key = parsed.key
    step = _take_step(visitor)
    code = code_of(visitor.person, step)
    visitor.unsure = Unsure("enroll", code, step)
    body = {"enrollment": members(begun)["enrollment"], "answer": code, "label": "phone"}
    reply = await visitor.client.post("/api/factors/totp/confirm", body, token=token)
    visitor.settle_by(reply.status)
    if _was_told(reply.status, 201, "enroll", report):
        told = reply.json()
        visitor.ended = [visitor.tokens]
        visitor.tokens = told
        visitor.refreshed = 0
        visitor.spent = (code, step)
        visitor.person.recovery_codes = told["recovery_codes"]
        visitor.is_counted = False
    elif reply.status != 503:
        visitor.person.key = b""
        visitor.tokens = None


async def _begin(visitor: Visitor, report: Report) -> str | None:
    body = {"username": visitor.name, "password": PASSWORD}
    reply = await visitor.client.post("/api/login", body)
    if not _was_told(reply.status, 200, "password step", report):
        return None
    login: str = members(reply)["login"]
    return login


def _take_step(visitor: Visitor) -> int:
    visitor.person.last_step = step_now()
    return visitor.person.last_step


def _was_told(status: int, expected: int, what: str, report: Report) -> bool:
    """Count an answer; another than the expected one is a surprise."""
    if status == expected:
        report.count(f"told {what}")
        return True
    if status == 503:
        report.count("told to come back (503)")
    else:
        report.surprises[f"{what} answered {status}"] += 1
    return False


async def try_again(visitor: Visitor, code: str) -> int:
    """Show a code once more, in a fresh login, and return the answer's status."""
    body = {"username": visitor.name, "password": PASSWORD}
    begun = members(await visitor.client.post("/api/login", body))
    if begun.get("status") != "second_factor_required":
        return 0
    method = "recovery_codes" if len(code) > 8 else "totp"
    answer = {"login": begun["login"], "answer": code}
    reply = await visitor.client.post(f"/api/login/{method}", answer)
    if reply.status == 200:
        visitor.begin_session(reply.json())
    return reply.status
