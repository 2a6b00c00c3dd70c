"""Random histories of every door, beside a small model of what each may do (goal R5).

The model knows nothing of how Twinlock works: only what was proven in a session, what is spent,
and what ended. No history reaches ``aal2`` without two factors, none without the owner's act
takes one away, and nothing that was spent or ended opens anything again.
"""

import itertools
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.house import OPERATOR, PASSWORD, House, bearer, token
from twinlock.accounts.directory import Account
from twinlock.testing.authenticator import FakeAuthenticator

WRONG = "wrong horse battery staple"
PASSWORDS = [PASSWORD, "another horse battery staple", "third horse battery staple"]
STEP = timedelta(seconds=31)  # so that each act has a code of its own
BETWEEN_GUESSES = timedelta(minutes=5, seconds=1)  # below every limit of a history's length
FRESH = ACCESS = timedelta(minutes=10)
PENDING = timedelta(minutes=5)


@dataclass
class Session:
    """What the model knows of one session."""

    body: dict[str, Any]
    login_acr: str
    acr: str
    proven_at: datetime
    login_proven_at: datetime
    issued_at: datetime
    parents: list[str] = field(default_factory=list)
    is_alive: bool = True


@dataclass
class Phone:
    """An authenticator, by its id and in its owner's hand."""

    id: str
    app: FakeAuthenticator


@dataclass
class Begun:
    """A login that waits for its second factor."""

    handle: str
    at: datetime
    is_alive: bool = True


class Histories(RuleBasedStateMachine):
    """One account, its owner and whoever else is there."""

    make_house: ClassVar[Callable[[], House]]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.house = type(self).make_house()
        self.client: TestClient = self.stack.enter_context(self.house.open())
        self.password = PASSWORD
        self.is_disabled = False
        self.phones: list[Phone] = []
        self.codes: list[str] = []
        self.spent: list[str] = []
        self.sessions: list[Session] = []
        self.begun: list[Begun] = []

    def teardown(self) -> None:
        self.stack.close()

    @initialize(is_enrolled=st.booleans())
    def account(self, is_enrolled: bool) -> None:
        self.house.create()
        if is_enrolled:
            enrolled = self.house.enroll(self.client)
            factors = self.client.get("/api/factors", headers=enrolled.bearer).json()["factors"]
            self.phones = [Phone(factors[0]["id"], enrolled.phone)]
            self.codes = enrolled.recovery_codes
            self.opened(enrolled.tokens, acr="aal2")

    # What happens at the password's door.

    @rule(is_right=st.booleans())
    def ask_for_a_token_with_the_password_alone(self, is_right: bool) -> None:
        self.move_on(guess=not is_right or self.is_disabled)

        answer = token(self.client, "johndoe", self.password if is_right else WRONG)

        if self.is_disabled or not is_right:
            assert answer.status_code == 400
        elif self.phones:
            assert answer.status_code == 403
            assert answer.json()["error"] == "mfa_required"
            self.begun.append(Begun(answer.json()["mfa_token"], self.house.now))
        else:
            self.opened(answer.json(), acr="aal1")

    @precondition(lambda self: self.phones)
    @rule(data=st.data(), is_right=st.booleans(), appended=st.booleans())
    def ask_for_a_token_with_a_code(
        self, data: st.DataObject, is_right: bool, appended: bool
    ) -> None:
        code, is_good = self.some_answer(data)
        appended = appended and code.isdigit()
        self.move_on(guess=self.is_disabled or not (is_right and is_good))
        code = self.shown(code)
        password = self.password if is_right else WRONG

        answer = (
            token(self.client, "johndoe", password + code)
            if appended
            else token(self.client, "johndoe", password, otp=code)
        )

        if is_right and is_good and not self.is_disabled:
            assert answer.status_code == 200, answer.text
            self.spend(code)
            self.opened(answer.json(), acr="aal2")
            assert token(self.client, "johndoe", password, otp=code).status_code == 400
        else:
            assert answer.status_code == 400
            assert answer.json()["error"] == "invalid_grant"

    @precondition(lambda self: self.phones and not self.is_disabled)
    @rule(data=st.data())
    def take_both_steps(self, data: st.DataObject) -> None:
        self.begin_a_login()
        self.answer_a_login(data)

    @rule()
    def begin_a_login(self) -> None:
        self.move_on(guess=self.is_disabled)  # counts as a wrong password does
        body = {"username": "johndoe", "password": self.password}

        answer = self.client.post("/api/login", json=body)

        if self.is_disabled:
            assert answer.status_code == 401
        elif self.phones:
            assert answer.json()["status"] == "second_factor_required"
            self.begun.append(Begun(answer.json()["login"], self.house.now))
        else:
            self.opened(answer.json(), acr="aal1")

    @precondition(lambda self: self.begun)
    @rule(data=st.data())
    def answer_a_login(self, data: st.DataObject) -> None:
        login = data.draw(st.sampled_from(self.begun[::-1][:3]))
        code, is_good = self.some_answer(data) if self.phones else ("123456", False)
        self.move_on()
        code = self.shown(code)
        method = "totp" if code.isdigit() else "recovery_codes"

        answer = self.client.post(
            f"/api/login/{method}", json={"login": login.handle, "answer": code}
        )

        is_open = login.is_alive and self.house.now < login.at + PENDING and not self.is_disabled
        if is_open and is_good:
            assert answer.status_code == 200, answer.text
            login.is_alive = False
            self.spend(code)
            self.opened(answer.json(), acr="aal2")
            self.move_on()
            phone = self.phones[0].app.code(self.house.now)
            again = {"login": login.handle, "answer": phone}
            assert self.client.post("/api/login/totp", json=again).status_code == 401
        else:
            assert answer.status_code == 401
            self.move_on(guess=True)

    @precondition(lambda self: self.begun)
    @rule(data=st.data())
    def present_a_pending_login_as_a_token(self, data: st.DataObject) -> None:
        handle = data.draw(st.sampled_from(self.begun)).handle

        assert self.client.get("/users/me", headers=bearer({"access_token": handle})).is_error

    # What happens in a session.

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def refresh(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.move_on()

        answer = self.refreshed(session.body["refresh_token"])

        if session.is_alive:
            assert answer.status_code == 200, answer.text
            session.parents.append(session.body["refresh_token"])
            session.body = session.body | answer.json()
            session.acr, session.proven_at = session.login_acr, session.login_proven_at
            session.issued_at = self.house.now
        else:
            assert answer.status_code == 400

    @precondition(lambda self: any(one.parents for one in self.sessions))
    @rule(data=st.data())
    def use_a_refresh_token_again(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from([one for one in self.sessions if one.parents]))
        self.move_on()

        assert self.refreshed(data.draw(st.sampled_from(session.parents))).status_code == 400

        session.is_alive = False

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def step_up(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        code, is_good = self.some_answer(data) if self.phones else (self.password, True)
        self.move_on(guess=not is_good)
        code = self.shown(code)
        method = "totp" if code.isdigit() else "recovery_codes"
        method = method if self.phones else "password"

        begun = self.post("/api/reauthenticate", {}, session)
        if not self.is_usable(session):
            assert begun.status_code == 401
            return
        body = {"reauthentication": begun.json()["reauthentication"], "answer": code}
        answer = self.post(f"/api/reauthenticate/{method}", body, session)

        if is_good:
            assert answer.status_code == 200, answer.text
            self.spend(code)
            session.body = session.body | {
                key: value for key, value in answer.json().items() if value is not None
            }
            session.acr = "aal2" if self.phones else "aal1"
            session.proven_at = session.issued_at = self.house.now
        else:
            assert answer.status_code == 401

    @precondition(lambda self: self.sessions and len(self.phones) < 3)
    @rule(data=st.data(), is_confirmed=st.booleans())
    def enroll(self, data: st.DataObject, is_confirmed: bool) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.move_on()

        begun = self.post("/api/factors/totp", {}, session)

        if not self.may_change(session):
            assert begun.status_code == 401
            return
        app = FakeAuthenticator.from_uri(begun.json()["options"]["uri"])
        code = app.code(self.house.now if is_confirmed else self.house.now - timedelta(days=1))
        body = {"enrollment": begun.json()["enrollment"], "answer": code, "label": "Phone"}
        answer = self.post("/api/factors/totp/confirm", body, session)
        if not is_confirmed:
            assert answer.is_client_error
            return
        assert answer.status_code == 201, answer.text
        if not self.phones:
            self.codes = answer.json()["recovery_codes"]
        self.phones.append(Phone(answer.json()["factor"]["id"], app))
        self.replaced(session, answer.json(), acr="aal2", proven_at=self.house.now)

    @precondition(lambda self: self.sessions and self.phones)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        phone = data.draw(st.sampled_from(self.phones))
        self.move_on()
        self.remove_phone(session, phone)

    def remove_phone(self, session: Session, phone: Phone) -> None:
        answer = self.client.delete(f"/api/factors/{phone.id}", headers=bearer(session.body))

        if not self.may_change(session):
            assert answer.status_code == 401
            return
        assert answer.status_code == 200, answer.text
        self.phones.remove(phone)
        if not self.phones:
            self.spent, self.codes = self.spent + self.codes, []
        self.replaced(session, answer.json(), acr=session.acr, proven_at=session.proven_at)

    @precondition(lambda self: self.sessions and self.phones)
    @rule(data=st.data())
    def make_new_recovery_codes(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.move_on()

        answer = self.post("/api/factors/recovery_codes", {}, session)

        if not self.may_change(session):
            assert answer.status_code == 401
            return
        assert answer.status_code == 201, answer.text
        self.spent, self.codes = self.spent + self.codes, answer.json()["recovery_codes"]
        self.replaced(session, answer.json(), acr=session.acr, proven_at=session.proven_at)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), new=st.sampled_from(PASSWORDS))
    def change_the_password(self, data: st.DataObject, new: str) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.move_on()
        body = {"current_password": self.password, "new_password": new}

        answer = self.post("/api/account/password", body, session)

        if not self.may_change(session):
            assert answer.status_code == 401
        elif answer.status_code == 200:
            self.password = new
            self.replaced(session, answer.json(), acr=session.acr, proven_at=session.proven_at)
        else:
            assert new == self.password

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def sign_out(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.move_on()

        self.post("/api/logout", {}, session)

        if self.is_usable(session):
            session.is_alive = False

    # What the operator does.

    @rule()
    def disable_or_enable(self) -> None:
        self.move_on()
        act = (
            self.house.administration.enable
            if self.is_disabled
            else (self.house.administration.disable)
        )

        assert isinstance(act(self.stored, OPERATOR, now=self.house.now), Account)

        self.is_disabled = not self.is_disabled
        self.end_everything()

    # What holds at every moment.

    @invariant()
    def a_session_opens_exactly_what_was_proven_in_it(self) -> None:
        for session in self.sessions[-4:]:
            answer = self.client.get("/api/account", headers=bearer(session.body))
            if self.is_usable(session):
                assert answer.json()["acr"] == session.acr
                assert answer.json()["auth_time"].startswith(
                    f"{session.proven_at:%Y-%m-%dT%H:%M:%S}"
                )
            else:
                assert answer.status_code == 401

    @invariant()
    def the_factors_are_those_that_the_owner_left(self) -> None:
        usable = next((one for one in self.sessions if self.is_usable(one)), None)
        if usable is not None:
            told = self.client.get("/api/factors", headers=bearer(usable.body)).json()
            assert {one["id"] for one in told["factors"]} == {one.id for one in self.phones}
            assert told["recovery_codes_left"] == len(self.codes)

    # How the model is kept.

    @property
    def stored(self) -> Account:
        return self.house.account()

    def move_on(self, *, guess: bool = False) -> None:
        by = BETWEEN_GUESSES if guess else STEP
        self.house.clock.advance(seconds=by.total_seconds())

    def some_answer(self, data: st.DataObject) -> tuple[str, bool]:
        """Draw an answer, and whether it is good; an app's code is read when it is typed."""
        good = [*("phone:" + one.id for one in self.phones), *self.codes]
        bad = [*self.spent, "000000", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"]
        code = data.draw(st.sampled_from(good if data.draw(st.booleans()) else bad))
        return code, code in good

    def shown(self, code: str) -> str:
        """Return what is typed."""
        if not code.startswith("phone:"):
            return code
        app = next(one.app for one in self.phones if one.id == code.removeprefix("phone:"))
        return app.code(self.house.now)

    def spend(self, code: str) -> None:
        if code in self.codes:
            self.codes.remove(code)
            self.spent.append(code)
        elif code.isdigit():
            self.spent.append(code)

    def refreshed(self, refresh_token: str) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.client.post("/token", data=form)

    def post(self, path: str, body: dict[str, Any], session: Session) -> Any:
        return self.client.post(path, json=body, headers=bearer(session.body))

    def is_usable(self, session: Session) -> bool:
        return session.is_alive and self.house.now < session.issued_at + ACCESS

    def may_change(self, session: Session) -> bool:
        is_strong = session.acr == "aal2" or not self.phones
        is_fresh = self.house.now <= session.proven_at + FRESH
        return self.is_usable(session) and is_strong and is_fresh

    def opened(self, body: dict[str, Any], *, acr: str, proven_at: datetime | None = None) -> None:
        at = proven_at or self.house.now
        self.sessions.append(Session(body, acr, acr, at, at, self.house.now))

    def end_everything(self) -> None:
        for session in self.sessions:
            session.is_alive = False
        for login in self.begun:
            login.is_alive = False

    def replaced(
        self, session: Session, body: dict[str, Any], *, acr: str, proven_at: datetime
    ) -> None:
        self.end_everything()
        self.opened(body, acr=acr, proven_at=proven_at)


def run_histories(
    machine: type[Histories],
    folder: Path,
    migrated: Path,
    *,
    made: Callable[[House], House] = lambda house: house,
    examples: int = 40,
) -> None:
    """Run random histories, each in a house of its own.

    Args:
        migrated: The database that each begins with a copy of.
        made: Changes a house before it opens.
    """
    numbers = itertools.count()

    def at_home() -> House:
        home = folder / str(next(numbers))
        home.mkdir()
        shutil.copyfile(migrated, home / "twinlock.sqlite3")
        return made(House(home / "data", f"sqlite:///{home / 'twinlock.sqlite3'}"))

    run_state_machine_as_test(
        type("Here", (machine,), {"make_house": staticmethod(at_home)}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_history_opens_more_than_was_proven(tmp_path: Path, migrated_sqlite: Path) -> None:
    run_histories(Histories, tmp_path, migrated_sqlite)
