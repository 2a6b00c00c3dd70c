"""What a program shows of a value, in a traceback or a debugger, holds no secret."""

from datetime import timedelta

import pytest

from tests.support.house import House
from twinlock.accounts.password_check import NewHash, RightPassword
from twinlock.api.account import PasswordIn
from twinlock.api.login import AnswerIn, LoginIn
from twinlock.audit.events import Caller
from twinlock.core.clock import utc_now
from twinlock.core.proof import SubjectId, Verified
from twinlock.factors.protocol import Prompt
from twinlock.flows.enrolling import EnrollmentBegun
from twinlock.flows.outcomes import IssuedCookie, IssuedTokens, SecondFactorRequired
from twinlock.web.password_step import Submitted

SECRET = "hunter2"
MINUTE = timedelta(minutes=1)
VERIFIED = Verified(SubjectId("0" * 32), "password", ("pwd",), utc_now())


@pytest.mark.parametrize(
    "value",
    [
        AnswerIn(login=SECRET, answer=SECRET),
        Caller(known_browser=SECRET),
        EnrollmentBegun(SECRET, MINUTE, {"secret": SECRET}),
        IssuedCookie(SECRET, SECRET, MINUTE),
        IssuedTokens(SECRET, MINUTE, SECRET, ()),
        LoginIn(username="johndoe", password=SECRET),
        NewHash(SECRET, "argon2id"),
        PasswordIn(current_password=SECRET, new_password=SECRET),
        Prompt({"secret": SECRET}, SECRET.encode()),
        RightPassword(VERIFIED, SECRET, is_outdated=False),
        SecondFactorRequired(SECRET, MINUTE, ()),
        Submitted("johndoe", SECRET, otp=SECRET),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_secret_is_not_shown(value: object) -> None:
    assert SECRET not in repr(value)


def test_an_account_shows_neither_hash_nor_seal(sqlite_house: House) -> None:
    with sqlite_house.open():
        account = sqlite_house.create()

    assert account.password_hash is not None
    assert account.password_hash not in repr(account)
    assert repr(account.seal) not in repr(account)
