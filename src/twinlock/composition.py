"""What an installation is made of: every block, factor and flow, put together in one place."""

from dataclasses import dataclass
from importlib.util import find_spec

from twinlock.accounts.breached_passwords import BreachService
from twinlock.accounts.directory import ChecksPasswords, Directory
from twinlock.accounts.password_check import PasswordCheck
from twinlock.accounts.passwords import HashProfile
from twinlock.accounts.store import OwnAccounts
from twinlock.config.settings import Settings, load_master_keys
from twinlock.core.clock import Clock, utc_now
from twinlock.core.errors import TwinlockError
from twinlock.core.keyring import Keyring
from twinlock.db.engine import Database
from twinlock.factors.email_code.factor import EmailCodeFactor
from twinlock.factors.passkey.ceremony import RelyingParty
from twinlock.factors.passkey.factor import PasskeyFactor
from twinlock.factors.protocol import Factor
from twinlock.factors.recovery_codes.factor import RecoveryCodes
from twinlock.factors.registry import Factors
from twinlock.factors.totp.factor import TotpFactor
from twinlock.flows.account import AccountManagement
from twinlock.flows.administration import Administration
from twinlock.flows.admission import Admission
from twinlock.flows.answering import Answering
from twinlock.flows.changes import Changes
from twinlock.flows.console import Console
from twinlock.flows.counting import Counting
from twinlock.flows.delivering import Delivering
from twinlock.flows.devices import TrustedDevices
from twinlock.flows.email_change import EmailChange
from twinlock.flows.enrollment import Enrollment
from twinlock.flows.factor_administration import FactorAdministration
from twinlock.flows.factor_resets import FactorResets
from twinlock.flows.factors import FactorManagement
from twinlock.flows.health import Health
from twinlock.flows.host_accounts import HostAccounts, HostChanges
from twinlock.flows.installation import begin_policies, open_installation
from twinlock.flows.invitations import Invitations
from twinlock.flows.keys import Keys
from twinlock.flows.liveness import Liveness
from twinlock.flows.login import Login
from twinlock.flows.mail_administration import MailAdministration
from twinlock.flows.mailing import RECOVERY_REQUEST, REGISTRATION_REQUEST
from twinlock.flows.maintenance import count_schemes
from twinlock.flows.opening import Opening
from twinlock.flows.own_enrollment import OwnEnrollment
from twinlock.flows.own_security import OwnSecurity
from twinlock.flows.own_sessions import OwnSessions
from twinlock.flows.parts import Parts
from twinlock.flows.passkey_login import PasskeyLogin
from twinlock.flows.policing import PasswordPolicy
from twinlock.flows.policy_administration import PolicyAdministration
from twinlock.flows.reauthentication import Reauthentication
from twinlock.flows.recovery import Recovery
from twinlock.flows.refresh import Refresh
from twinlock.flows.registration import Registration
from twinlock.flows.reminders import Reminders
from twinlock.flows.staged_emails import StagedEmails
from twinlock.flows.verifying import Verifying
from twinlock.installation.key_watch import KeyFileWatch
from twinlock.mail.letters import Letterhead
from twinlock.mail.office import MailOffice
from twinlock.mail.transport import FolderTransport, SmtpTransport, Transport
from twinlock.migrations.revision import require_current
from twinlock.policies.store import PolicyBook
from twinlock.tokens.marks import Marks
from twinlock.web.asking import Asking
from twinlock.web.delivery import Delivery
from twinlock.web.hash_pool import HashPool
from twinlock.web.held import OwnLock
from twinlock.web.origin import OwnOrigin
from twinlock.web.runtime import Runtime
from twinlock.web.sight import Sight
from twinlock.web.upkeep import Upkeep
from twinlock.web.work import Workers

_KEPT_FREE = 2
"""Connections that no request may take: the poll and the upkeep need theirs under any load."""


@dataclass(frozen=True, slots=True)
class Flows:
    """What can be done in an installation, without anything that runs by itself.

    The command line works with these alone; a server adds threads and what HTTP needs.
    """

    parts: Parts
    policy: PasswordPolicy
    password_check: PasswordCheck
    breaches: BreachService | None
    keys: Keys
    counting: Counting
    verifying: Verifying
    opening: Opening
    changes: Changes
    administration: Administration
    invitations: Invitations
    factor_administration: FactorAdministration
    host_changes: HostChanges
    policy_administration: PolicyAdministration
    factor_resets: FactorResets
    staged_emails: StagedEmails
    mail_administration: MailAdministration


def build_parts(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    scopes: frozenset[str] = frozenset(),
    has_directory: bool = False,
    sees_passwords: bool = True,
    prefix: str = "",
) -> Parts:
    """Open an installation: its keys, its database, and what belongs to both.

    Args:
        has_directory: Whether accounts are a host's, and not ours.
        sees_passwords: Whether their password hashes are told; not where a host checks them.

    Raises:
        InstallationError: Keys and database do not fit, or there are none.
        DatabaseUnavailableError: The database does not answer.
    """
    # Where accounts are a host's, so are their addresses and passwords, and the mails about them.
    mail = None if has_directory else _mail_office(settings, prefix=prefix)
    database = Database(
        settings.database_url,
        pool_size=settings.database_pool_size,
        has_pooler=settings.database_pooler,
    )
    try:
        keyring = _open_keyring(settings, database)
        require_current(database)
        digest_key = open_installation(database, keyring)
        begin_policies(database, keyring)
        data_dir = settings.data_dir if settings.data_dir.is_dir() else None
        marks = Marks(data_dir, installation=digest_key.digest("marks"))
    except BaseException:
        database.close()
        raise
    recovery_codes = RecoveryCodes(digest_key)
    factors: list[Factor] = [TotpFactor(keyring, issuer=settings.service_name)]
    if settings.rp_id is not None and find_spec("webauthn") is not None:
        rp = RelyingParty(settings.rp_id, settings.service_name, settings.passkey_origins())
        factors.append(PasskeyFactor(keyring, digest_key, rp=rp))
    if settings.email_codes_enabled and mail is not None:
        factors.append(EmailCodeFactor(digest_key, lifetime=settings.email_code_lifetime))
    factors.append(recovery_codes)
    return Parts(
        database=database,
        keyring=keyring,
        digest_key=digest_key,
        accounts=HostAccounts(keyring, digest_key, clock) if has_directory else OwnAccounts(),
        factors=Factors(factors),
        recovery_codes=recovery_codes,
        policies=PolicyBook(keyring),
        lifetimes=settings.lifetimes(),
        throttle=settings.throttle_rules(),
        marks=marks,
        clock=clock,
        issuer=settings.base_url,
        audience=settings.audience,
        scopes=scopes,
        clock_skew=settings.clock_skew,
        sees_passwords=sees_passwords,
        mail=mail,
    )


def build_flows(parts: Parts, settings: Settings) -> Flows:
    """Put together what can be done in an open installation."""
    policy = PasswordPolicy(
        settings.service_name,
        settings.password_min_length,
        settings.password_max_length,
        tuple(settings.blocked_password_words),
    )
    profile = HashProfile(
        settings.hash_memory_kib, settings.hash_iterations, settings.hash_parallelism
    )
    breaches = settings.breached_passwords_url
    keys = Keys(parts)
    counting = Counting(parts)
    verifying = Verifying(parts, counting)
    opening = Opening(parts, keys)
    changes = Changes(parts, verifying, opening)
    staged_emails = StagedEmails(parts, verifying, changes)
    administration = Administration(parts, counting, changes, policy, staged_emails)
    return Flows(
        parts=parts,
        policy=policy,
        password_check=PasswordCheck(parts.digest_key, profile),
        breaches=None if breaches is None else BreachService(breaches),
        keys=keys,
        counting=counting,
        verifying=verifying,
        opening=opening,
        changes=changes,
        administration=administration,
        invitations=Invitations(
            parts,
            verifying,
            changes,
            policy,
            is_enabled=settings.invitations_enabled and parts.accounts.are_ours,
        ),
        factor_administration=FactorAdministration(parts, verifying, changes),
        host_changes=HostChanges(parts, counting, changes),
        policy_administration=PolicyAdministration(parts),
        factor_resets=FactorResets(parts, verifying, changes),
        staged_emails=staged_emails,
        mail_administration=MailAdministration(parts),
    )


def close_parts(parts: Parts) -> None:
    """Close what `build_parts` opened."""
    parts.marks.close()
    parts.database.close()


def build_runtime(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    prefix: str = "",
    scopes: frozenset[str] = frozenset(),
    directory: Directory | None = None,
) -> Runtime:
    """Open an installation and put together what a server runs.

    Raises:
        InstallationError: Keys and database do not fit, or there are none.
        DatabaseUnavailableError: The database does not answer.
    """
    parts = build_parts(
        settings,
        clock=clock,
        scopes=scopes,
        has_directory=directory is not None,
        sees_passwords=not isinstance(directory, ChecksPasswords),
        prefix=prefix,
    )
    flows = build_flows(parts, settings)
    try:
        flows.password_check.set_proportions(count_schemes(parts))
        flows.keys.load(now=clock())
    except BaseException:
        close_parts(parts)
        raise
    admission = Admission(parts, flows.counting, flows.verifying, flows.opening)
    recovery = Recovery(parts, flows.counting, flows.changes, flows.policy)
    registration = Registration(
        parts,
        flows.counting,
        flows.verifying,
        flows.policy,
        is_enabled=settings.registration_enabled and parts.accounts.are_ours,
    )
    answers = {RECOVERY_REQUEST: recovery.answer, REGISTRATION_REQUEST: registration.answer}
    workers = Workers(max(1, settings.database_pool_size - _KEPT_FREE))
    asking = (
        None
        if directory is None
        else Asking(directory, flows.host_changes, flows.password_check, workers, clock)
    )
    if asking is not None:
        workers.renew = asking.renew
        workers.own_lock = OwnLock(parts.database)
    return Runtime(
        parts=parts,
        clock=clock,
        workers=workers,
        hash_pool=HashPool(
            settings.hash_threads, waiting_per_thread=settings.hash_waiting_per_thread
        ),
        password_check=flows.password_check,
        breaches=flows.breaches,
        sight=Sight(parts, flows.keys, Liveness(parts), workers),
        upkeep=Upkeep(
            parts,
            flows.password_check,
            (flows.factor_resets, flows.staged_emails, Reminders(parts)),
            at_end=flows.counting,
            keep_events=settings.event_retention,
        ),
        keys=flows.keys,
        opening=flows.opening,
        enrollment=Enrollment(parts, flows.counting, flows.verifying, flows.changes, admission),
        login=Login(parts, flows.counting, flows.verifying, admission),
        answering=Answering(parts, flows.counting, flows.verifying, admission),
        passkey_login=PasskeyLogin(parts, flows.counting, flows.verifying, admission),
        refresh=Refresh(parts, flows.opening),
        factors=FactorManagement(parts, flows.verifying, flows.changes),
        own_enrollment=OwnEnrollment(parts, flows.counting, flows.verifying, flows.changes),
        reauthentication=Reauthentication(parts, flows.counting, flows.verifying, flows.opening),
        account=AccountManagement(parts, flows.counting, flows.changes, flows.policy),
        recovery=recovery,
        email_change=EmailChange(parts, flows.verifying, flows.changes),
        delivery=Delivery(Delivering(parts, answers), clock),
        sessions=OwnSessions(parts),
        administration=flows.administration,
        invitations=flows.invitations,
        registration=registration,
        factor_administration=flows.factor_administration,
        factor_resets=flows.factor_resets,
        staged_emails=flows.staged_emails,
        security=OwnSecurity(parts, flows.verifying),
        console=Console(parts, flows.changes),
        mail_administration=flows.mail_administration,
        policy_administration=flows.policy_administration,
        devices=TrustedDevices(parts),
        health=Health(parts, flows.keys),
        origin=OwnOrigin(settings.base_url, other_origins=settings.cors_origins),
        trusted_proxies=tuple(settings.trusted_proxies),
        body_limit=settings.body_limit_bytes,
        prefix=prefix,
        requires_own_host=settings.environment == "production",
        password_grant_enabled=settings.password_grant_enabled,
        asking=asking,
        host_changes=flows.host_changes,
        socket_interval=settings.websocket_check_interval.total_seconds(),
    )


def close_runtime(runtime: Runtime) -> None:
    """Close what `build_runtime` opened."""
    runtime.delivery.close()
    runtime.upkeep.close()
    runtime.sight.close()
    runtime.hash_pool.close()
    runtime.workers.close()
    close_parts(runtime.parts)


def _mail_office(settings: Settings, *, prefix: str) -> MailOffice | None:
    """Return what mail is sent with: in development a folder stands in for a mail server."""
    transport: Transport
    if settings.smtp_url is not None:
        transport = SmtpTransport(settings.smtp_url.get_secret_value())
    elif settings.is_production:
        return None
    else:
        transport = FolderTransport(settings.data_dir / "mail")
    link_base = settings.mail_links or settings.base_url + prefix
    letterhead = Letterhead(
        settings.service_name, settings.mail_from, link_base, settings.default_language
    )
    return MailOffice(transport, letterhead)


def _open_keyring(settings: Settings, database: Database) -> Keyring:
    """Return the master keys, followed through rotations where they come from a file."""
    if settings.secret_keys:
        return Keyring(load_master_keys(settings))
    watch = KeyFileWatch(settings.secret_keys_file, lambda: load_master_keys(settings))

    def is_ours(ring: Keyring) -> bool:
        try:
            open_installation(database, ring)
        except TwinlockError:
            return False
        return True

    return Keyring(load_master_keys(settings), changed=watch, is_ours=is_ours)
