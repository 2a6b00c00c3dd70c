"""An installation with people in it, for the console to look at."""

from datetime import timedelta

from tests.pages.browser import Browser
from tests.support.house import OPERATOR, House
from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.proof import Reason
from twinlock.testing.authenticator import FakeAuthenticator

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
PEOPLE = (
    ("ruben.k", "Ruben Kowalczyk"),
    ("rufus", "Rufus Adeyemi"),
    ("rukmini", "Rukmini Devi Raghunathan"),
    ("runa", "Runa Lindqvist"),
    ("ruprecht", "Ruprecht Graf"),
    ("russ", "Russell Okafor"),
    ("ruth.m", "Ruth Mbeki"),
    ("m.oduya", "Marlene Oduya"),
)
_BUSY = (39, 41, 44, 45, 21, 17, 43, 45, 47, 44, 45, 22, 18, 11)


def enroll(house: House, username: str, label: str = "Phone") -> FakeAuthenticator:
    """Give an account an authenticator app; its next code comes half a minute later."""
    factor = house.runtime.parts.factors.get("totp")
    assert factor is not None
    account = house.account(username)
    work = house.factor_administration
    prompt = work.begin_enrollment(account, factor, now=house.now)
    phone = FakeAuthenticator.from_uri(str((prompt.options or {})["uri"]))
    work.finish_enrollment(
        account, factor, prompt, phone.code(house.now), label, OPERATOR, now=house.now
    )
    house.clock.advance(seconds=30)
    return phone


def signed_in(house: House, username: str, phone: FakeAuthenticator) -> Browser:
    """Sign in with both factors in a browser of its own."""
    browser = Browser(house.client())
    browser.sign_in(username)
    browser.send("/login/totp", answer=phone.code(house.now))
    house.clock.advance(seconds=30)
    return browser


def happen(house: House, type_: EventType, account: Account, *, ago: timedelta) -> None:
    """Let something have happened to an account."""
    reason = Reason.WRONG_PASSWORD if type_ is EventType.LOGIN_DENIED else None
    event = Event(
        type_,
        house.now - ago,
        Caller("192.0.2.7", FIREFOX),
        subject=account.subject,
        reason=reason,
    )
    house.database.transaction(audit.record, event)


def settle(house: House) -> None:
    """Let some people move in, and two weeks pass."""
    for name, full_name in PEOPLE:
        house.create(name, None, full_name=full_name)
    for name in ("ruben.k", "rukmini", "runa", "m.oduya"):
        enroll(house, name, "Pixel")
    house.administration.disable(house.account("ruprecht"), OPERATOR, now=house.now)
    marlene = house.account("m.oduya")
    for day, signed_in in enumerate(_BUSY):
        ago = timedelta(days=len(_BUSY) - 1 - day, minutes=3)
        for _ in range(signed_in):
            happen(house, EventType.LOGIN_SUCCEEDED, marlene, ago=ago)
        for _ in range(40 if day == 8 else signed_in // 6):
            happen(house, EventType.LOGIN_DENIED, marlene, ago=ago)
