"""What a flow can answer. One denial looks like every other; its reason is in the audit log."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from twinlock.core.proof import Acr, AuthenticationContext
from twinlock.throttle.policy import Throttled


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Tokens for a bearer client; the refresh token is None where the old one goes on."""

    access_token: str = field(repr=False)
    expires_in: timedelta
    refresh_token: str | None = field(repr=False)
    scope: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssuedCookie:
    """The secret of a browser's session cookie, and the CSRF token that belongs to it."""

    secret: str = field(repr=False)
    csrf_token: str = field(repr=False)
    expires_in: timedelta


Credentials = IssuedTokens | IssuedCookie


@dataclass(frozen=True, slots=True)
class DeviceCookie:
    """What a trusted device is to hold until its next use."""

    value: str = field(repr=False)
    expires_in: timedelta


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session was opened, or an open one proved more.

    Attributes:
        credentials: What the client is to hold: `IssuedTokens`, or an `IssuedCookie`.
        context: What was proven: ``account`` (the ``sub``), ``acr``, ``amr``, ``auth_time``.
        known_browser: The value of the cookie by which the browser is known from now on.
        device: The cookie of a trusted device; None where the browser keeps what it has.
        enrollment_due: When a policy will demand more than this sign-in proved.
    """

    credentials: Credentials
    context: AuthenticationContext
    known_browser: str | None = field(default=None, repr=False)
    device: DeviceCookie | None = None
    enrollment_due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """A method that may be used now, with what the client needs for it."""

    method: str
    options: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SecondFactorRequired:
    """The password was right, and opened nothing: a second factor is to follow.

    Attributes:
        handle: The ``login`` that `finish` and ``POST /api/login/{method}`` take; a secret.
        expires_in: How long it waits for an answer.
        methods: What may be answered, each with the options that its client needs.
        username: Whose login it is; who knows the password may know it.
    """

    handle: str = field(repr=False)
    expires_in: timedelta
    methods: tuple[Offered, ...]
    username: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class EnrollmentRequired:
    """The password was right, and opens nothing until a second factor is enrolled.

    Attributes:
        handle: What the enrollment goes on with; None at a door that enrolls nothing.
        expires_in: How long it waits for one.
        methods: What may be enrolled: ``totp``, ``passkey``.
        needs_link: Whether the factors were reset, so that the reset's link is demanded, too.
    """

    handle: str | None = field(default=None, repr=False)
    expires_in: timedelta = timedelta(0)
    methods: tuple[str, ...] = ()
    needs_link: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """No. Unknown, wrong, disabled, locked and spent are one and the same outside."""


@dataclass(frozen=True, slots=True)
class StepUpRequired:
    """The session must first prove more, or prove it again (RFC 9470 section 3)."""

    acr: Acr
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Refused:
    """A signed-in account asked for something that cannot be done; the code says why."""

    code: str
    message: str


__all__ = [
    "Credentials",
    "Denied",
    "DeviceCookie",
    "EnrollmentRequired",
    "IssuedCookie",
    "IssuedTokens",
    "Offered",
    "Refused",
    "SecondFactorRequired",
    "SignedIn",
    "StepUpRequired",
    "Throttled",
]
