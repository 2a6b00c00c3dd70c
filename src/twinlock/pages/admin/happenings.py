"""Events in plain sentences, for an admin who reads about somebody else."""

from typing import Final

from twinlock.audit.events import EventType
from twinlock.pages import activity
from twinlock.pages.texts import mark

SENTENCES: Final = {
    EventType.LOGIN_SUCCEEDED: mark("Signed in"),
    EventType.LOGIN_DENIED: mark("A sign-in was denied"),
    EventType.LOGIN_THROTTLED: mark("Too many tries; sign-ins had to wait"),
    EventType.PASSWORD_VERIFIED: mark("The password was right; the second step followed"),
    EventType.REFRESH_REUSED: mark("An old token was used again; its session was ended"),
    EventType.SESSION_ENDED: mark("A session was signed out"),
    EventType.SESSIONS_ENDED: mark("Signed out everywhere"),
    EventType.REAUTHENTICATION_SUCCEEDED: mark("A proof was given again"),
    EventType.REAUTHENTICATION_DENIED: mark("A proof that was asked for again was denied"),
    EventType.FACTOR_ENROLLMENT_BEGUN: mark("An authenticator began to be set up"),
    EventType.FACTOR_ENROLLMENT_DENIED: mark("A new authenticator was not confirmed"),
    EventType.FACTOR_ENROLLED: mark("An authenticator was added"),
    EventType.FACTOR_RENAMED: mark("An authenticator was renamed"),
    EventType.FACTOR_REMOVED: mark("An authenticator was removed"),
    EventType.FACTORS_RESET: mark("The second factor was reset"),
    EventType.FACTOR_RESET_REQUESTED: mark("A reset of the second factor was asked for"),
    EventType.FACTOR_RESET_APPROVED: mark("A reset of the second factor was approved"),
    EventType.FACTOR_RESET_CANCELLED: mark("A reset of the second factor was called off"),
    EventType.PASSKEY_COPIED: mark("A passkey may have been copied"),
    EventType.RECOVERY_CODES_CREATED: mark("New recovery codes were made"),
    EventType.RECOVERY_CODE_SPENT: mark("A recovery code was used"),
    EventType.DEVICE_TRUSTED: mark("A device was remembered"),
    EventType.DEVICE_REUSED: mark(
        "An old cookie of a device was used again; the device was forgotten"
    ),
    EventType.DEVICE_REVOKED: mark("A device was forgotten"),
    EventType.POLICY_SET: mark("A policy was set"),
    EventType.POLICY_REMOVED: mark("A policy was removed"),
    EventType.ACCESS_DENIED: mark("Something that only admins may do was denied"),
    EventType.SEAL_BROKEN: mark("Somebody changed the database: a seal is broken"),
    EventType.ACCOUNT_CREATED: mark("The account was created"),
    EventType.ACCOUNT_REGISTERED: mark("Somebody registered an account"),
    EventType.REGISTRATION_REQUESTED: mark("An account was asked for by mail"),
    EventType.INVITATION_SENT: mark("An invitation was mailed"),
    EventType.INVITATION_REVOKED: mark("An invitation was revoked"),
    EventType.INVITATION_ACCEPTED: mark("An invitation was accepted"),
    EventType.ACCOUNT_IMPORTED: mark("The account was imported"),
    EventType.ACCOUNT_CHANGED: mark("The account was changed"),
    EventType.ACCOUNT_DISABLED: mark("The account was disabled"),
    EventType.ACCOUNT_ENABLED: mark("The account was enabled"),
    EventType.ACCOUNT_DELETED: mark("The account was deleted"),
    EventType.ACCOUNT_UNLOCKED: mark("The account was unlocked"),
    EventType.PASSWORD_CHANGED: mark("The password was changed"),
    EventType.PASSWORD_CHANGE_DENIED: mark("A change of the password was denied"),
    EventType.RECOVERY_REQUESTED: mark("A new password was asked for by mail"),
    EventType.EMAIL_CHANGE_REQUESTED: mark("Another e-mail address was asked for"),
    EventType.EMAIL_CHANGE_CANCELLED: mark("The change of the e-mail address was called off"),
    EventType.EMAIL_CHANGED: mark("The e-mail address was changed"),
    EventType.MAIL_GIVEN_UP: mark("A mail could not be delivered"),
    EventType.MAIL_TRIED_AGAIN: mark("A mail was tried again"),
    EventType.KEY_ROTATED: mark("A new signing key was made"),
    EventType.KEY_RETIRED: mark("A signing key was retired"),
    EventType.SECRET_ROTATED: mark("The master key was changed"),
    EventType.INSTALLATION_CREATED: mark("The installation was created"),
    EventType.DATABASE_RESTORED: mark("A backup of the database was put back"),
}
OTHER: Final = mark("Something else happened")


def sentence(type_: str) -> str:
    """Return what an event of that type is called, to be translated."""
    known = {str(one): words for one, words in SENTENCES.items()}
    return known.get(type_, OTHER)


is_alarm = activity.is_alarm
