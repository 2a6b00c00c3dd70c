"""The security history in plain sentences."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row

from twinlock.audit.events import EventType
from twinlock.audit.store import details_of
from twinlock.pages.texts import mark

SENTENCES: Final = {
    EventType.LOGIN_SUCCEEDED: mark("You signed in"),
    EventType.LOGIN_DENIED: mark("A sign-in was denied"),
    EventType.LOGIN_THROTTLED: mark("Too many tries; sign-ins had to wait"),
    EventType.PASSWORD_VERIFIED: mark("The password was right; the second step followed"),
    EventType.REFRESH_REUSED: mark("An old token was used again; its session was ended"),
    EventType.SESSION_ENDED: mark("A session was signed out"),
    EventType.SESSIONS_ENDED: mark("All other sessions were signed out"),
    EventType.REAUTHENTICATION_SUCCEEDED: mark("You confirmed that it is you"),
    EventType.REAUTHENTICATION_DENIED: mark("A confirmation was denied"),
    EventType.FACTOR_ENROLLMENT_BEGUN: mark("You began to set up an authenticator"),
    EventType.FACTOR_ENROLLMENT_DENIED: mark("A new authenticator was not confirmed"),
    EventType.FACTOR_ENROLLED: mark("You added an authenticator"),
    EventType.FACTOR_RENAMED: mark("You renamed an authenticator"),
    EventType.FACTOR_REMOVED: mark("An authenticator was removed"),
    EventType.FACTORS_RESET: mark("Your second factor was reset"),
    EventType.RECOVERY_CODES_CREATED: mark("You made new recovery codes"),
    EventType.RECOVERY_CODE_SPENT: mark("You used a recovery code"),
    EventType.DEVICE_TRUSTED: mark("You let a device be remembered"),
    EventType.DEVICE_REVOKED: mark("A device was forgotten"),
    EventType.DEVICE_REUSED: mark("A remembered device was copied; it was forgotten"),
    EventType.PASSKEY_COPIED: mark("A passkey may have been copied"),
    EventType.RECOVERY_REQUESTED: mark("A link to set a new password was asked for"),
    EventType.EMAIL_CHANGE_REQUESTED: mark("Another e-mail address was asked for"),
    EventType.EMAIL_CHANGE_CANCELLED: mark("A change of your e-mail address was stopped"),
    EventType.EMAIL_CHANGED: mark("Your e-mail address was confirmed"),
    EventType.FACTOR_RESET_REQUESTED: mark("A reset of your second factor was asked for"),
    EventType.FACTOR_RESET_APPROVED: mark("A reset of your second factor was approved"),
    EventType.FACTOR_RESET_CANCELLED: mark("A reset of your second factor was called off"),
    EventType.ACCOUNT_IMPORTED: mark("Your account was created"),
    EventType.ACCOUNT_DISABLED: mark("Your account was disabled"),
    EventType.ACCOUNT_ENABLED: mark("Your account was enabled again"),
    EventType.ACCOUNT_UNLOCKED: mark("Your sign-ins were let through again"),
    EventType.ACCESS_DENIED: mark("You were kept from a page or a change"),
    EventType.SEAL_BROKEN: mark("Your account was changed by a way that is none"),
    EventType.MAIL_GIVEN_UP: mark("A mail to you could not be delivered"),
    EventType.PASSWORD_CHANGED: mark("Your password was changed"),
    EventType.PASSWORD_CHANGE_DENIED: mark("A change of your password was denied"),
    EventType.ACCOUNT_CREATED: mark("Your account was created"),
    EventType.ACCOUNT_CHANGED: mark("Your account was changed"),
}
_WITH_A_PASSKEY: Final = mark("with a passkey")
_WITH_BOTH: Final = mark("with password and passkey")
_WITH_AN_APP: Final = mark("with password and app")
_WITH_MAIL: Final = mark("with password and a code by e-mail")
_WITH_A_CODE: Final = mark("with password and recovery code")
_WITH_A_PASSWORD: Final = mark("with the password alone")
OTHER: Final = mark("Something else happened to your account")
_ALARMS: Final = frozenset(
    {
        EventType.LOGIN_DENIED,
        EventType.LOGIN_THROTTLED,
        EventType.REFRESH_REUSED,
        EventType.REAUTHENTICATION_DENIED,
        EventType.PASSWORD_CHANGE_DENIED,
        EventType.FACTORS_RESET,
        EventType.SEAL_BROKEN,
        EventType.DEVICE_REUSED,
        EventType.PASSKEY_COPIED,
        EventType.FACTOR_RESET_REQUESTED,
        EventType.MAIL_GIVEN_UP,
    }
)


def sentence(type_: str) -> str:
    """Return what an event of that type is called, to be translated."""
    known = {str(one): words for one, words in SENTENCES.items()}
    return known.get(type_, OTHER)


def means(amr: Sequence[str]) -> str:
    """Return by what a sign-in was proven (RFC 8176 values), to be translated."""
    used = set(amr)
    if used & {"swk", "hwk"}:
        return _WITH_BOTH if "pwd" in used else _WITH_A_PASSKEY
    if "otp" in used:
        return _WITH_MAIL if "mca" in used else _WITH_AN_APP
    return _WITH_A_CODE if "mfa" in used else _WITH_A_PASSWORD


def means_of(event: Row[Any]) -> str | None:
    """Return the same of an event; None where nothing was proven."""
    amr = details_of(event).get("amr")
    is_list = isinstance(amr, list) and all(isinstance(one, str) for one in amr)
    return means(amr) if is_list and amr else None


def is_alarm(type_: str) -> bool:
    """Tell whether an event deserves a second look."""
    return type_ in {str(one) for one in _ALARMS}
