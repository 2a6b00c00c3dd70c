"""``POST /token``: the code behind the password, and the code in a field of its own."""

from collections.abc import Iterator

import pytest

from tests.support.home import WRONG_CODE, WRONG_PASSWORD, Home, told
from tests.support.house import OPERATOR, PASSWORD, House
from twinlock.accounts.directory import Account
from twinlock.core.proof import Reason
from twinlock.factors.totp import otpauth
from twinlock.factors.totp.rfc6238 import Params
from twinlock.flows.account_making import Imported, NewAccount
from twinlock.testing.authenticator import FakeAuthenticator


def import_account(house: House, username: str, *digits: int) -> list[FakeAuthenticator]:
    """Make an account with one app for each number of digits."""
    apps, imported = [], []
    totp = house.runtime.parts.factors.get("totp")
    assert totp is not None
    for number, length in enumerate(digits):
        uri = otpauth.provisioning_uri(
            bytes([number + 1]) * 20,
            issuer="Elsewhere",
            account_name=username,
            params=Params(digits=length),
        )
        apps.append(FakeAuthenticator.from_uri(uri))
        imported.append(Imported(totp, uri, f"App {number}"))
    made = house.administration.import_account(
        NewAccount(username, password=house.runtime.password_check.new_hash(PASSWORD)),
        imported,
        OPERATOR,
        now=house.now,
    )
    assert isinstance(made, Account)
    house.clock.advance(seconds=30)
    return apps


def new_recovery_codes(home: Home) -> Iterator[str]:
    """Give johndoe sheet after sheet of codes, each of which works until the next is asked for."""
    parts = home.house.runtime.parts
    while True:
        yield from parts.database.transaction(
            parts.recovery_codes.create, home.john.account.subject, now=home.house.now
        )


def set_password(home: Home, password: str, username: str = "johndoe") -> None:
    new = home.house.runtime.password_check.new_hash(password)
    done = home.house.administration.set_password(
        home.house.account(username), new, OPERATOR, now=home.house.now
    )
    assert isinstance(done, Account)


# --- The code behind the password -----------------------------------------------------------


def test_the_code_may_follow_the_password(home: Home) -> None:
    assert home.token(PASSWORD + home.code()).status_code == 200


def test_a_recovery_code_does_not_follow_the_password(home: Home) -> None:
    """It ends in six digits only by chance, and is too long for people to append."""
    code = home.recovery_code()

    appended = home.token(PASSWORD + code)

    assert appended.status_code == 400
    assert home.token(PASSWORD, otp=code).status_code == 200


@pytest.mark.parametrize("between", [" ", "+", ":", "\u3000"])
def test_nothing_stands_between_password_and_code(home: Home, between: str) -> None:
    """The password is taken as received: with the space it is another one."""
    assert home.token(PASSWORD + between + home.code()).status_code == 400


@pytest.mark.parametrize("digits", ["٠١٢٣٤٥", "０００００１", "00000²"])
def test_only_ascii_digits_are_split_off(home: Home, digits: str) -> None:
    set_password(home, PASSWORD + digits)

    assert home.token(PASSWORD + digits).status_code == 403


def test_a_password_that_ends_in_digits_takes_the_code_behind_them(home: Home) -> None:
    password = "my password is 123456"
    set_password(home, password)

    assert home.token(password + home.code()).status_code == 200


def test_a_password_that_ends_in_digits_is_never_tried_as_a_whole(home: Home) -> None:
    """Or else who knows it could ask whether it is right without a code. Use ``otp``."""
    password = "my password is 123456"
    set_password(home, password)

    assert told(home.token(password)) == told(home.token(WRONG_PASSWORD))


def test_a_password_that_ends_in_digits_signs_in_with_otp(home: Home) -> None:
    password = "my password is 123456"
    set_password(home, password)

    assert home.token(password, otp=home.code()).status_code == 200


def test_a_password_of_digits_alone_takes_the_code_behind_it(home: Home) -> None:
    set_password(home, "8245917360")

    assert home.token("8245917360" + home.code()).status_code == 200


def test_a_code_alone_is_no_password(home: Home) -> None:
    assert told(home.token(home.code())) == told(home.token(WRONG_PASSWORD))


def test_a_password_that_ends_in_five_digits_is_asked_for_the_code(home: Home) -> None:
    set_password(home, "my password is 12345")

    assert home.token("my password is 12345").status_code == 403


def test_an_account_without_a_second_factor_is_never_split(home: Home) -> None:
    password = "my password is 123456"
    home.house.create("alice", password)

    whole = home.token(password, "alice")
    with_code = home.token(password + "654321", "alice")
    without = home.token("my password is ", "alice")

    assert [whole.status_code, with_code.status_code, without.status_code] == [200, 400, 400]


def test_an_account_without_a_second_factor_may_send_an_otp(home: Home) -> None:
    """There is nothing to compare it with, and its password is all that the account has."""
    home.house.create("alice")

    assert home.token(PASSWORD, "alice", otp=WRONG_CODE).status_code == 200


def test_the_length_limit_holds_for_what_remains(home: Home) -> None:
    password = "p" * 1_024
    set_password(home, password)

    assert home.token(password + home.code()).status_code == 200


@pytest.mark.parametrize("length", [1_025, 5_000, 60_000])
def test_a_password_too_long_is_denied_like_a_wrong_one(home: Home, length: int) -> None:
    denied = told(home.token(WRONG_PASSWORD))

    assert told(home.token("p" * length + home.code())) == denied
    assert told(home.token("p" * length, otp=home.code())) == denied
    assert told(home.token("p" * length, "nobody")) == denied


def test_a_code_is_spent_whichever_way_it_came(home: Home) -> None:
    """RFC 6238 section 5.2."""
    code = home.code()

    tried = [
        home.token(PASSWORD + code),
        home.token(PASSWORD, otp=code),
        home.token(PASSWORD + code),
    ]

    assert [one.status_code for one in tried] == [200, 400, 400]


# --- The code in a field of its own ---------------------------------------------------------


def test_an_empty_otp_is_a_missing_one(home: Home) -> None:
    assert home.token(PASSWORD, otp="").status_code == 403
    assert home.token(PASSWORD + home.code(), otp="").status_code == 200


def test_with_otp_the_password_is_not_split(home: Home) -> None:
    assert home.token(PASSWORD + home.code(), otp=home.code()).status_code == 400


@pytest.mark.parametrize("form", ["{0} {1}", " {0}{1} ", "{0}-{1}"])
def test_a_code_may_be_typed_as_it_is_shown(home: Home, form: str) -> None:
    code = home.code()

    assert home.token(PASSWORD, otp=form.format(code[:3], code[3:])).status_code == 200


def test_every_recovery_code_signs_in_once(home: Home) -> None:
    """Whatever letters and digits it is made of."""
    codes = list(home.john.recovery_codes)

    first = [home.token(PASSWORD, otp=code).status_code for code in codes]
    second = home.token(PASSWORD, otp=codes[0])

    assert first == [200] * 10
    assert second.status_code == 400


def test_a_recovery_code_may_have_as_many_digits_as_a_totp_code(home: Home) -> None:
    """About one in seven has six."""
    code = next(code for code in new_recovery_codes(home) if sum(map(str.isdigit, code)) == 6)

    assert home.token(PASSWORD, otp=code).status_code == 200


@pytest.mark.parametrize(
    "otp", ["0", "x", "🔑", "\u0660" * 6, "0" * 24, "A" * 24, "-", "x" * 60_000]
)
def test_garbage_in_otp_is_a_wrong_code(home: Home, otp: str) -> None:
    assert told(home.token(PASSWORD, otp=otp)) == told(home.token(WRONG_PASSWORD, otp=otp))


def test_codes_of_eight_digits_follow_the_password(home: Home) -> None:
    (app,) = import_account(home.house, "alice", 8)

    assert home.token(PASSWORD + app.code(home.house.now), "alice").status_code == 200


def test_six_digits_are_not_split_from_who_has_eight(home: Home) -> None:
    import_account(home.house, "alice", 8)

    assert home.token(PASSWORD, "alice").status_code == 403
    assert home.token(PASSWORD + WRONG_CODE, "alice").status_code == 400


def test_who_has_codes_of_different_lengths_uses_otp(home: Home) -> None:
    six, eight = import_account(home.house, "alice", 6, 8)
    now = home.house.now

    appended = [home.token(PASSWORD + app.code(now), "alice") for app in (six, eight)]
    otps = [home.token(PASSWORD, "alice", otp=app.code(now)) for app in (six, eight)]

    assert [one.status_code for one in appended] == [400, 400]
    assert [one.status_code for one in otps] == [200, 200]


def test_who_has_codes_of_different_lengths_is_asked_for_one(home: Home) -> None:
    import_account(home.house, "alice", 6, 8)

    assert home.token(PASSWORD, "alice").json()["error"] == "mfa_required"


# --- One answer -----------------------------------------------------------------------------


def test_a_wrong_code_is_told_as_a_wrong_password(home: Home) -> None:
    denied = told(home.token(WRONG_PASSWORD + WRONG_CODE))

    assert told(home.token(PASSWORD + WRONG_CODE)) == denied
    assert told(home.token(PASSWORD, otp=WRONG_CODE)) == denied
    assert told(home.token(WRONG_PASSWORD, otp=WRONG_CODE)) == denied


def test_a_spent_code_is_told_as_a_wrong_password(home: Home) -> None:
    code = home.code()
    home.token(PASSWORD + code)

    assert told(home.token(PASSWORD + code)) == told(home.token(WRONG_PASSWORD + code))


def test_a_throttled_code_is_told_as_a_wrong_password(home: Home) -> None:
    for _ in range(5):
        home.token(PASSWORD + WRONG_CODE)

    throttled = home.token(PASSWORD + home.code())

    assert told(throttled) == told(home.token(WRONG_PASSWORD + WRONG_CODE))
    reasons = [event.reason for event in home.events()]
    assert Reason.THROTTLED in reasons


def test_a_right_code_does_not_help_a_wrong_password(home: Home) -> None:
    code = home.code()

    wrong = home.token(WRONG_PASSWORD + code)

    assert wrong.status_code == 400
    assert home.token(PASSWORD + code).status_code == 200, "nor is the code spent by it"


def test_another_accounts_code_is_wrong(home: Home) -> None:
    home.house.create("alice")
    alice = home.house.enroll(home.client, "alice")
    home.house.clock.advance(seconds=30)

    assert home.token(PASSWORD + alice.phone.code(home.house.now)).status_code == 400
