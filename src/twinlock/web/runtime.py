"""What the edge works with: the flows of one installation, running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from twinlock.web.recognition import NotInstalledError, recognition_of

if TYPE_CHECKING:  # an application that has not started loads no database
    from twinlock.accounts.breached_passwords import BreachService
    from twinlock.accounts.password_check import PasswordCheck
    from twinlock.core.clock import Clock
    from twinlock.flows.account import AccountManagement
    from twinlock.flows.administration import Administration
    from twinlock.flows.answering import Answering
    from twinlock.flows.console import Console
    from twinlock.flows.devices import TrustedDevices
    from twinlock.flows.email_change import EmailChange
    from twinlock.flows.enrollment import Enrollment
    from twinlock.flows.factor_administration import FactorAdministration
    from twinlock.flows.factor_resets import FactorResets
    from twinlock.flows.factors import FactorManagement
    from twinlock.flows.health import Health
    from twinlock.flows.host_accounts import HostChanges
    from twinlock.flows.invitations import Invitations
    from twinlock.flows.keys import Keys
    from twinlock.flows.login import Login
    from twinlock.flows.mail_administration import MailAdministration
    from twinlock.flows.opening import Opening
    from twinlock.flows.own_enrollment import OwnEnrollment
    from twinlock.flows.own_security import OwnSecurity
    from twinlock.flows.own_sessions import OwnSessions
    from twinlock.flows.parts import Parts
    from twinlock.flows.passkey_login import PasskeyLogin
    from twinlock.flows.policy_administration import PolicyAdministration
    from twinlock.flows.reauthentication import Reauthentication
    from twinlock.flows.recovery import Recovery
    from twinlock.flows.refresh import Refresh
    from twinlock.flows.registration import Registration
    from twinlock.flows.staged_emails import StagedEmails
    from twinlock.web.asking import Asking
    from twinlock.web.delivery import Delivery
    from twinlock.web.hash_pool import HashPool
    from twinlock.web.network import Network
    from twinlock.web.origin import OwnOrigin
    from twinlock.web.sight import Sight
    from twinlock.web.upkeep import Upkeep
    from twinlock.web.work import Workers


@dataclass(frozen=True, slots=True)
class Runtime:
    """One running installation.

    Attributes:
        sight: Who a request speaks for.
        breaches: Tells of passwords that were seen in a breach; None where nobody is asked.
        asking: The host's directory; None where accounts are ours.
        socket_interval: Seconds between two looks at an idle WebSocket.
        requires_own_host: Whether any other ``Host`` is refused, as in production.
    """

    parts: Parts
    clock: Clock
    workers: Workers
    hash_pool: HashPool
    password_check: PasswordCheck
    breaches: BreachService | None
    sight: Sight
    upkeep: Upkeep
    delivery: Delivery
    keys: Keys
    opening: Opening
    login: Login
    answering: Answering
    enrollment: Enrollment
    passkey_login: PasskeyLogin
    refresh: Refresh
    factors: FactorManagement
    own_enrollment: OwnEnrollment
    reauthentication: Reauthentication
    account: AccountManagement
    recovery: Recovery
    email_change: EmailChange
    sessions: OwnSessions
    administration: Administration
    invitations: Invitations
    registration: Registration
    factor_administration: FactorAdministration
    factor_resets: FactorResets
    staged_emails: StagedEmails
    security: OwnSecurity
    console: Console
    mail_administration: MailAdministration
    policy_administration: PolicyAdministration
    devices: TrustedDevices
    health: Health
    origin: OwnOrigin
    trusted_proxies: Sequence[Network]
    body_limit: int
    prefix: str
    requires_own_host: bool
    password_grant_enabled: bool
    asking: Asking | None
    host_changes: HostChanges
    socket_interval: float

    @property
    def installation(self) -> Runtime:
        """Itself: see `Recognition`."""
        return self


def runtime_of(connection: HTTPConnection) -> Runtime:
    """Return the nearest installation of a request.

    Raises:
        NotInstalledError: The application has none.
    """
    installation = recognition_of(connection).installation
    if installation is None:
        raise NotInstalledError("a verifier stands here, and this needs an installation")
    return installation
