"""The events worth keeping: their types, and the frozen record of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from twinlock.core.proof import Reason, SubjectId


class EventType(StrEnum):
    """What happened, as ``noun.verb``."""

    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_DENIED = "login.denied"
    LOGIN_THROTTLED = "login.throttled"
    PASSWORD_VERIFIED = "login.password_verified"
    REFRESH_REUSED = "refresh.reused"
    SESSION_ENDED = "session.ended"
    SESSIONS_ENDED = "session.all_ended"
    REAUTHENTICATION_SUCCEEDED = "reauthentication.succeeded"
    REAUTHENTICATION_DENIED = "reauthentication.denied"
    FACTOR_ENROLLMENT_BEGUN = "factor.enrollment_begun"
    FACTOR_ENROLLMENT_DENIED = "factor.enrollment_denied"
    FACTOR_ENROLLED = "factor.enrolled"
    FACTOR_RENAMED = "factor.renamed"
    FACTOR_REMOVED = "factor.removed"
    FACTORS_RESET = "factor.all_reset"
    FACTOR_RESET_REQUESTED = "factor.reset_requested"
    FACTOR_RESET_APPROVED = "factor.reset_approved"
    FACTOR_RESET_CANCELLED = "factor.reset_cancelled"
    PASSKEY_COPIED = "factor.copy_suspected"
    RECOVERY_CODES_CREATED = "recovery_codes.created"
    RECOVERY_CODE_SPENT = "recovery_codes.spent"
    DEVICE_TRUSTED = "device.trusted"
    DEVICE_REUSED = "device.reused"
    DEVICE_REVOKED = "device.revoked"
    POLICY_SET = "policy.set"
    POLICY_REMOVED = "policy.removed"
    ACCESS_DENIED = "access.denied"
    SEAL_BROKEN = "account.seal_broken"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_IMPORTED = "account.imported"
    ACCOUNT_REGISTERED = "account.registered"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_DISABLED = "account.disabled"
    ACCOUNT_ENABLED = "account.enabled"
    ACCOUNT_DELETED = "account.deleted"
    ACCOUNT_UNLOCKED = "account.unlocked"
    PASSWORD_CHANGED = "password.changed"
    PASSWORD_CHANGE_DENIED = "password.change_denied"
    RECOVERY_REQUESTED = "recovery.requested"
    REGISTRATION_REQUESTED = "registration.requested"
    INVITATION_SENT = "invitation.sent"
    INVITATION_REVOKED = "invitation.revoked"
    INVITATION_ACCEPTED = "invitation.accepted"
    EMAIL_CHANGE_REQUESTED = "email.change_requested"
    EMAIL_CHANGE_CANCELLED = "email.change_cancelled"
    EMAIL_CHANGED = "email.changed"
    MAIL_GIVEN_UP = "mail.given_up"
    MAIL_TRIED_AGAIN = "mail.tried_again"
    KEY_ROTATED = "key.rotated"
    KEY_RETIRED = "key.retired"
    SECRET_ROTATED = "secret.rotated"
    INSTALLATION_CREATED = "installation.created"
    DATABASE_RESTORED = "database.restored"


NOTE: Final = "note"
"""The detail of an event that says why, in the words of who acted; not for the account's owner."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from.

    Attributes:
        ip: The client's address; None where there is none, as on a Unix socket.
        user_agent: What the client says it is, cut to 255 characters.
        is_browser: Whether the request names an origin, as only browsers do.
        known_browser: The secret of the ``known`` cookie, if one came along.
        actor: Who acts on another's account (``cli:<user>``,
            ``admin:<sub>``); None for the account itself.
        note: Why, in the words of who acts; empty where nobody asked.
    """

    ip: str | None = None
    user_agent: str | None = None
    is_browser: bool = False
    known_browser: str | None = field(default=None, repr=False)
    actor: str | None = None
    note: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; never holds a secret.

    Attributes:
        repeat_key: Of what happens again and again; None for what is kept each time.
        times: How often it has happened since it was told last.
    """

    type: EventType
    at: datetime
    caller: Caller
    subject: SubjectId | None = None
    name_digest: bytes | None = None
    reason: Reason | None = None
    method: str | None = None
    session_id: str | None = None
    details: Mapping[str, str | int | Sequence[str]] = field(default_factory=dict)
    repeat_key: bytes | None = None
    times: int = 1
