"""Hooks hear what was committed, and nobody hears of them."""

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.support.home import STEP, WRONG_CODE
from tests.support.house import BASE_URL, OPERATOR, PASSWORD, House, bearer, sign_in, token
from twinlock import SecurityEvent, Twinlock
from twinlock.audit import store as audit
from twinlock.audit.events import Event, EventType

NAMES = [
    "on_signed_in",
    "on_denied",
    "on_signed_out",
    "on_reauthenticated",
    "on_factor_enrolled",
    "on_factor_removed",
    "on_password_changed",
    "on_recovery_used",
    "on_event",
]


class Ears:
    """An application with one hook for everything, and what each has heard."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.auth = Twinlock(house.settings, clock=house.clock)
        self.heard: list[tuple[str, SecurityEvent]] = []
        app = FastAPI()
        app.state.twinlock = self.auth
        self.auth.install(app)
        house.app = app
        self.client = TestClient(app, base_url=BASE_URL)

    def listen(self, *names: str) -> None:
        """Hang an ear on these hooks."""
        for name in names:
            getattr(self.auth, name)(lambda event, name=name: self.heard.append((name, event)))

    def names(self) -> list[str]:
        """Return which hooks were called, in order, since the last time."""
        self.auth.finish_hooks()
        heard = [name for name, _ in self.heard]
        self.heard.clear()
        return heard


@pytest.fixture
def ears(sqlite_house: House) -> Iterator[Ears]:
    """A running application whose hooks a test may hang up."""
    ears = Ears(sqlite_house)
    with ears.client:
        yield ears


def test_each_hook_hears_what_it_is_named_after(ears: Ears) -> None:
    ears.listen(*NAMES[:-1])
    client, house = ears.client, ears.house
    house.create()

    sign_in(client)
    assert ears.names() == ["on_signed_in"]
    john = house.enroll(client)
    assert ears.names() == ["on_signed_in", "on_factor_enrolled"]
    token(client, "johndoe", PASSWORD, otp=WRONG_CODE)
    token(client, "nobody", PASSWORD)
    assert ears.names() == ["on_denied", "on_denied"]
    tokens = sign_in(client, otp=john.recovery_codes[0])
    assert ears.names() == ["on_recovery_used", "on_signed_in"]
    begun = client.post("/api/reauthenticate", json={"acr": "aal2"}, headers=bearer(tokens))
    house.clock.now += STEP
    answer = {
        "reauthentication": begun.json()["reauthentication"],
        "answer": john.phone.code(house.now),
    }
    renewed = client.post("/api/reauthenticate/totp", json=answer, headers=bearer(tokens)).json()
    assert ears.names() == ["on_reauthenticated"]
    body = {"current_password": PASSWORD, "new_password": "another long enough password"}
    changed = client.post("/api/account/password", json=body, headers=bearer(renewed))
    assert changed.status_code == 200, changed.text
    assert ears.names() == ["on_password_changed"]
    headers = bearer(changed.json())
    [factor] = client.get("/api/factors", headers=headers).json()["factors"]
    removed = client.delete(f"/api/factors/{factor['id']}", headers=headers)
    assert removed.status_code == 200, removed.text
    assert ears.names() == ["on_factor_removed"]
    client.post("/api/logout", headers=bearer(removed.json()))
    assert ears.names() == ["on_signed_out"]


def test_a_hook_is_told_who_and_where_and_no_secret(ears: Ears) -> None:
    ears.listen("on_event")
    account = ears.house.create()
    ears.names()
    tokens = token(ears.client, "johndoe", PASSWORD).json()
    token(ears.client, "nobody", "a secret password")
    ears.auth.finish_hooks()

    (_, signed_in), (_, denied) = [one for one in ears.heard if one[1].type != "login.throttled"]

    assert (signed_in.type, signed_in.subject) == ("login.succeeded", account.subject)
    assert (signed_in.username, signed_in.at) == ("johndoe", ears.house.now)
    assert (denied.type, denied.subject, denied.username) == ("login.denied", None, None)
    told = repr((signed_in, denied))
    for secret in (PASSWORD, "a secret password", tokens["access_token"], "nobody"):
        assert secret not in told
    with pytest.raises(dataclasses.FrozenInstanceError):
        denied.subject = "x"  # type: ignore[misc] # that it is frozen is the point


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(1)])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_failing_hook_breaks_no_login_and_is_logged_by_name(
    ears: Ears, caplog: pytest.LogCaptureFixture, error: BaseException, is_async: bool
) -> None:
    def broken(event: SecurityEvent) -> None:
        raise error

    async def broken_later(event: SecurityEvent) -> None:
        raise RuntimeError("broken")

    ears.auth.on_signed_in(broken_later if is_async else broken)
    ears.listen("on_signed_in")
    ears.house.create()

    with caplog.at_level(logging.ERROR, logger="twinlock.hooks"):
        tokens = sign_in(ears.client)
        assert ears.names() == ["on_signed_in"]  # the next one still runs

    assert tokens["access_token"]
    [record] = [one for one in caplog.records if one.name == "twinlock.hooks"]
    assert record.getMessage() == "hook_failed"
    assert "broken" in record.hook  # type: ignore[attr-defined] # set by us


def test_a_slow_hook_delays_nobody(ears: Ears) -> None:
    started, free = threading.Event(), threading.Event()

    @ears.auth.on_signed_in
    def slow(event: SecurityEvent) -> None:
        started.set()
        free.wait(20)

    ears.listen("on_signed_in")
    ears.house.create()

    sign_in(ears.client)
    assert started.wait(10)
    sign_in(ears.client)  # answered while the first one's hook still waits
    assert ears.heard == []
    free.set()

    assert ears.names() == ["on_signed_in", "on_signed_in"]


def test_an_asynchronous_hook_runs_on_the_applications_loop(ears: Ears) -> None:
    """Where the host's own connections are at home; a plain one never blocks it."""
    loops: list[Any] = []
    threads: list[str] = []

    @ears.auth.on_signed_in
    async def where(event: SecurityEvent) -> None:
        loops.append(asyncio.get_running_loop())

    @ears.auth.on_signed_in
    def which(event: SecurityEvent) -> None:
        threads.append(threading.current_thread().name)

    ears.house.create()
    sign_in(ears.client)
    ears.auth.finish_hooks()

    portal = ears.client.portal
    assert portal is not None
    assert loops == [portal.call(_current_loop)]
    assert threads == ["twinlock-hooks"]


async def _current_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_what_was_rolled_back_is_told_to_nobody(ears: Ears) -> None:
    ears.listen("on_signed_in")
    happened = Event(EventType.LOGIN_SUCCEEDED, ears.house.now, OPERATOR)

    def fail(tx: Any) -> None:
        audit.record(tx, happened)
        raise LookupError

    with pytest.raises(LookupError):
        ears.house.database.transaction(fail)
    assert ears.names() == []
    ears.house.database.transaction(audit.record, happened)
    assert ears.names() == ["on_signed_in"]


def test_hooks_are_given_as_keywords_too_and_run_before_a_shutdown(sqlite_house: House) -> None:
    heard: list[str] = []

    async def hear(event: SecurityEvent) -> None:
        heard.append(event.type)

    auth = Twinlock(sqlite_house.settings, clock=sqlite_house.clock, on_signed_in=hear)
    app = FastAPI()
    app.state.twinlock = auth
    auth.install(app)
    sqlite_house.app = app
    with TestClient(app, base_url=BASE_URL) as client:
        sqlite_house.create()
        sign_in(client)

    assert heard == ["login.succeeded"]


def test_a_hook_that_is_none_is_refused(sqlite_house: House) -> None:
    with pytest.raises(TypeError, match="on_sign_in"):
        Twinlock(sqlite_house.settings, on_sign_in=print)  # type: ignore[call-arg] # a typo
    with pytest.raises(TypeError, match="takes a function"):
        Twinlock(sqlite_house.settings, on_signed_in="print")  # type: ignore[arg-type]


def test_two_instances_hear_only_their_own(ears: Ears, tmp_path_factory: Any) -> None:
    ears.listen("on_signed_in")
    other = Twinlock(ears.house.settings, clock=ears.house.clock)
    heard: list[SecurityEvent] = []
    other.on_signed_in(heard.append)
    app = FastAPI()
    other.install(app)
    ears.house.create()
    with TestClient(app, base_url=BASE_URL) as client:
        sign_in(client)

    assert len(heard) == 1
    assert ears.names() == []


def test_denials_leave_room_for_what_matters(ears: Ears, caplog: pytest.LogCaptureFixture) -> None:
    """A flood of wrong passwords must not push a removed factor out of its owner's sight."""
    free, started = threading.Event(), threading.Event()

    @ears.auth.on_event
    def wait(event: SecurityEvent) -> None:
        started.set()
        free.wait(20)

    ears.listen("on_event")
    database = ears.house.database
    denied = Event(EventType.LOGIN_DENIED, ears.house.now, OPERATOR)
    removed = Event(EventType.FACTOR_REMOVED, ears.house.now, OPERATOR)
    database.committed([denied])
    assert started.wait(10)

    with caplog.at_level(logging.ERROR, logger="twinlock.hooks"):
        database.committed([denied] * 501)
        database.committed([removed])
    free.set()
    ears.auth.finish_hooks()

    types = [event.type for _, event in ears.heard]
    assert types.count("login.denied") == 501
    assert types[-1] == "factor.removed"
    assert [one.getMessage() for one in caplog.records if one.name == "twinlock.hooks"] == [
        "hook_dropped"
    ]
