"""Random histories with trusted devices and codes by mail among the doors (goal R5)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.factors.suite import code_in
from tests.flows.test_histories import WRONG, Begun, Histories, run_histories
from tests.support.house import House, bearer
from twinlock.testing.mail import MailTrap

COOKIE = "__Host-twinlock-device"
JOHN = "johndoe@example.com"
MAILS = 15
"""Fewer than the codes that one account is sent in a day."""


def shown(cookie: str) -> dict[str, str]:
    """Return the header that shows a device's cookie."""
    return {"Cookie": f"{COOKIE}={cookie}"}


@dataclass
class Device:
    """A browser that stands for the second factor, and the cookies that it had before."""

    cookie: str
    copies: list[str] = field(default_factory=list)
    is_trusted: bool = True


class MoreHistories(Histories):
    """The same account, with a browser that is trusted and a mailbox."""

    def __init__(self) -> None:
        super().__init__()
        self.trap = MailTrap(lambda: self.house.auth)
        self.devices: list[Device] = []
        self.mailbox: str | None = None
        self.mailed: list[str] = []

    # A trusted device.

    @precondition(lambda self: self.phones and not self.is_disabled)
    @rule()
    def trust_a_device(self) -> None:
        self.begin_a_login()
        login = self.begun[-1]
        self.move_on()
        body = {
            "login": login.handle,
            "answer": self.phones[0].app.code(self.house.now),
            "trust_device": True,
        }

        answer = self.client.post("/api/login/totp", json=body)

        assert answer.status_code == 200, answer.text
        login.is_alive = False
        self.opened(answer.json(), acr="aal2")
        self.devices.append(Device(answer.cookies[COOKIE]))

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), is_right=st.booleans())
    def sign_in_on_a_device(self, data: st.DataObject, is_right: bool) -> None:
        device = data.draw(st.sampled_from(self.devices))
        self.move_on(guess=not is_right or self.is_disabled)

        answer = self.login_with(device.cookie, self.password if is_right else WRONG)

        if self.is_disabled or not is_right:
            assert answer.status_code == 401
        elif not self.phones:
            self.opened(answer.json(), acr="aal1")
        elif device.is_trusted:
            assert answer.json()["status"] == "signed_in"
            assert (answer.json()["acr"], answer.json()["amr"]) == ("aal1", ["pwd"])
            self.opened(answer.json(), acr="aal1")
            device.copies.append(device.cookie)
            device.cookie = answer.cookies[COOKIE]
        else:
            assert answer.json()["status"] == "second_factor_required"
            self.begun.append(Begun(answer.json()["login"], self.house.now))

    @precondition(lambda self: any(one.copies for one in self.devices) and not self.is_disabled)
    @rule(data=st.data())
    def show_a_copy(self, data: st.DataObject) -> None:
        """Somebody holds what the browser had before: from then on neither counts."""
        device = data.draw(st.sampled_from([one for one in self.devices if one.copies]))
        copy = data.draw(st.sampled_from(device.copies))
        self.move_on()

        answer = self.login_with(copy, self.password)

        if not self.phones:
            self.opened(answer.json(), acr="aal1")
            return
        assert answer.json()["status"] == "second_factor_required"
        self.begun.append(Begun(answer.json()["login"], self.house.now))
        if device.is_trusted:
            device.is_trusted = False
            for session in self.sessions:
                if session.login_acr == "aal1":  # whoever opened it showed no second factor
                    session.is_alive = False

    @precondition(lambda self: self.devices and self.phones and not self.is_disabled)
    @rule(data=st.data())
    def show_a_device_at_the_token_endpoint(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(self.devices))
        self.move_on()

        form = {"grant_type": "password", "username": "johndoe", "password": self.password}
        answer = self.house.client().post("/token", data=form, headers=shown(device.cookie))

        assert answer.json()["error"] == "mfa_required"
        self.begun.append(Begun(answer.json()["mfa_token"], self.house.now))

    # A mailbox, which never is the only factor here.

    @precondition(lambda self: self.sessions and self.phones and self.mailbox is None)
    @rule(data=st.data())
    def enroll_the_mailbox(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.move_on()
        if len(self.mailed) >= MAILS:
            return

        begun = self.post("/api/factors/email_code", {}, session)

        if not self.may_change(session):
            assert begun.status_code == 401
            return
        body = {"enrollment": begun.json()["enrollment"], "answer": self.next_mailed()}
        answer = self.post("/api/factors/email_code/confirm", body, session)
        assert answer.status_code == 201, answer.text
        self.mailbox = answer.json()["factor"]["id"]
        self.replaced(session, answer.json(), acr="aal2", proven_at=self.house.now)

    @precondition(lambda self: self.mailbox and not self.is_disabled)
    @rule(data=st.data(), is_right=st.booleans())
    def sign_in_with_a_mailed_code(self, data: st.DataObject, is_right: bool) -> None:
        self.begin_a_login()
        login = self.begun[-1]
        if len(self.mailed) >= MAILS:
            return
        older = list(self.mailed)
        asked = self.client.post("/api/login/email_code/begin", json={"login": login.handle})
        assert asked.status_code == 200, asked.text
        code = self.next_mailed()
        if not is_right:
            code = data.draw(st.sampled_from([one for one in older if one != code] or ["12345"]))
        self.move_on(guess=not is_right)

        body = {"login": login.handle, "answer": code}
        answer = self.client.post("/api/login/email_code", json=body)

        assert answer.status_code == (200 if is_right else 401), answer.text
        if is_right:
            login.is_alive = False
            self.opened(answer.json(), acr="aal2")
            again = self.client.post("/api/login/email_code", json=body)
            assert again.status_code == 401

    @precondition(lambda self: self.sessions and self.mailbox)
    @rule(data=st.data())
    def remove_the_mailbox(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.move_on()

        answer = self.client.delete(f"/api/factors/{self.mailbox}", headers=bearer(session.body))

        if not self.may_change(session):
            assert answer.status_code == 401
            return
        assert answer.status_code == 200, answer.text
        self.mailbox = None
        self.replaced(session, answer.json(), acr=session.acr, proven_at=session.proven_at)

    @precondition(
        lambda self: self.sessions and len(self.phones) > (1 if self.mailbox is not None else 0)
    )
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        phone = data.draw(st.sampled_from(self.phones))
        self.move_on()
        self.remove_phone(session, phone)

    @invariant()
    def the_factors_are_those_that_the_owner_left(self) -> None:
        usable = next((one for one in self.sessions if self.is_usable(one)), None)
        if usable is not None:
            told = self.client.get("/api/factors", headers=bearer(usable.body)).json()
            kept = {one.id for one in self.phones} | ({self.mailbox} if self.mailbox else set())
            assert {one["id"] for one in told["factors"]} == kept
            assert told["recovery_codes_left"] == len(self.codes)

    # How the model is kept.

    def end_everything(self) -> None:
        super().end_everything()
        for device in self.devices:
            device.is_trusted = False

    def login_with(self, cookie: str, password: str) -> Any:
        """Take the password step in a browser that holds one cookie and no other."""
        body = {"username": "johndoe", "password": password}
        return self.house.client().post("/api/login", json=body, headers=shown(cookie))

    def next_mailed(self) -> str:
        code = code_in(self.trap, JOHN)
        self.mailed.append(code)
        return code


def test_no_device_and_no_mailbox_opens_more_than_was_proven(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    def with_codes(house: House) -> House:
        return house.again(email_codes_enabled=True)

    run_histories(MoreHistories, tmp_path, migrated_sqlite, made=with_codes, examples=15)
