"""How long sessions live and how many there may be, and the facts of one."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from twinlock.core.proof import Acr, SubjectId


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Lifetimes and caps, each a setting.

    Attributes:
        refresh_idle: A bearer session dies when its refresh token is unused for this long.
        refresh_absolute: … and after this long in any case.
        page_idle: A cookie session dies when unused for this long.
        page_absolute: … and after this long in any case.
        access_token: How long an access token lives.
        refresh_grace: How long a refresh token that was just used gives the same child
            again, for a client whose reply was lost; zero turns it off.
        pending_login: How long a login may wait for its second factor.
        enrollment: How long an enrollment may wait for its confirming answer.
        enrollment_login: How long a login may wait for an enrollment.
        enrollment_link: How long the link of a reset may be used.
        recovery_link: How long a mailed link sets a forgotten password.
        email_link: How long a mailed link confirms or cancels a change of address.
        invitation_link: How long an invitation may be accepted.
        email_code: How long a mailed code may be used.
        fresh: How old the proof may be that a change of factors or password demands.
        trusted_device: How long a device stands for the second factor.
        max_devices: Trusted devices of one account; the oldest goes.
        max_sessions: Sessions of one account; the oldest ends.
        max_pending: Pending logins of one account; the oldest dies.
        max_answers: Wrong answers after which a pending login, enrollment or
            reauthentication is void.
    """

    refresh_idle: timedelta = timedelta(days=14)
    refresh_absolute: timedelta = timedelta(days=90)
    page_idle: timedelta = timedelta(hours=1)
    page_absolute: timedelta = timedelta(hours=12)
    access_token: timedelta = timedelta(minutes=10)
    refresh_grace: timedelta = timedelta(seconds=10)
    pending_login: timedelta = timedelta(minutes=5)
    enrollment: timedelta = timedelta(minutes=10)
    enrollment_login: timedelta = timedelta(minutes=15)
    enrollment_link: timedelta = timedelta(hours=24)
    recovery_link: timedelta = timedelta(minutes=30)
    email_link: timedelta = timedelta(hours=24)
    invitation_link: timedelta = timedelta(days=7)
    email_code: timedelta = timedelta(minutes=10)
    fresh: timedelta = timedelta(minutes=10)
    trusted_device: timedelta = timedelta(days=30)
    max_devices: int = 10
    max_sessions: int = 50
    max_pending: int = 10
    max_answers: int = 5


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its row says.

    Attributes:
        cookie_digest: Of a browser's cookie; None for a session of bearer tokens.
        acr: What the sign-in proved; a stepped-up access token may say more.
        refresh_counter: The counter of the one refresh token that is current.
        rotated_at: When that token was issued.
    """

    id: str
    subject: SubjectId
    generation: int
    cookie_digest: bytes | None = field(repr=False)
    refresh_counter: int
    rotated_at: datetime
    acr: Acr
    amr: tuple[str, ...]
    auth_time: datetime
    scope: tuple[str, ...]
    ip: str | None
    user_agent: str | None
    created_at: datetime
    last_seen_at: datetime
    idle_until: datetime
    expires_at: datetime
    ended_at: datetime | None

    @property
    def has_cookie(self) -> bool:
        """Whether it is a browser's, carried by a cookie."""
        return self.cookie_digest is not None

    @property
    def sealed_content(self) -> tuple[str | bytes, ...]:
        """What only the holder of a master key may write, for the row's seal."""
        return (
            self.id,
            self.subject,
            str(self.generation),
            self.cookie_digest or b"",
            self.acr,
            " ".join(self.amr),
            self.auth_time.isoformat(),
            " ".join(self.scope),
            self.created_at.isoformat(),
            self.expires_at.isoformat(),
            str(self.refresh_counter),
        )

    def is_alive(self, *, generation: int, now: datetime) -> bool:
        """Tell whether it may be used, its subject being of *generation*."""
        return (
            self.ended_at is None
            and self.generation == generation
            and now < self.idle_until
            and now < self.expires_at
        )
