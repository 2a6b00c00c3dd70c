"""What the mails are called on the console: each by what it is about, never by what it says."""

from typing import Final

from twinlock.mail.letters import Kind
from twinlock.pages.texts import mark

NAMES: Final = {
    Kind.PASSWORD_RECOVERY: mark("A link for a new password"),
    Kind.EMAIL_CONFIRMATION: mark("A link to confirm an address"),
    Kind.EMAIL_CHANGE_BEGUN: mark("Another e-mail address was asked for"),
    Kind.EMAIL_CHANGE_STAGED: mark("An admin asked for another e-mail address"),
    Kind.EMAIL_CHANGED: mark("The e-mail address was changed"),
    Kind.PASSWORD_CHANGED: mark("The password was changed"),
    Kind.FACTOR_ADDED: mark("An authenticator was added"),
    Kind.FACTOR_REMOVED: mark("An authenticator was removed"),
    Kind.FACTOR_RESET_REQUESTED: mark("A reset of the second factor was asked for"),
    Kind.FACTORS_RESET: mark("The second factor was reset"),
    Kind.RECOVERY_CODES_CREATED: mark("New recovery codes were made"),
    Kind.RECOVERY_CODE_USED: mark("A recovery code was used"),
    Kind.WRONG_SECOND_FACTOR: mark("The password was right, the second step was not"),
    Kind.NEW_DEVICE: mark("A sign-in from another browser"),
    Kind.DEVICE_TRUSTED: mark("A device was remembered"),
    Kind.SIGN_IN_CODE: mark("A code to sign in with"),
    Kind.INVITATION: mark("An invitation"),
    Kind.REGISTRATION: mark("A link to register"),
    Kind.ALREADY_REGISTERED: mark("Somebody registered who has an account"),
    Kind.SECOND_FACTOR_DUE: mark("A reminder: a second factor will be needed"),
    Kind.PASSKEY_DUE: mark("A reminder: a passkey will be needed"),
    Kind.TEST: mark("A test mail"),
}


def name_of(kind: str) -> str:
    """Return what a mail is called, to be translated; one of a newer release by its code."""
    return NAMES[Kind(kind)] if kind in set(Kind) else kind
