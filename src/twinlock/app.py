"""The only place that puts parts together: `Twinlock`, and the login server's application."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Unpack, cast
from uuid import UUID

from fastapi import APIRouter, FastAPI

from twinlock.accounts.directory import ChecksPasswords, Directory, host_id_of
from twinlock.accounts.password_check import PasswordCheck
from twinlock.accounts.passwords import HashProfile
from twinlock.accounts.store import OwnAccounts
from twinlock.api.routers import WholeApi
from twinlock.api.second_factor import SecondFactor
from twinlock.config.settings import Settings, load_master_keys
from twinlock.core.clock import Clock, utc_now
from twinlock.core.errors import ConfigurationError, TwinlockError
from twinlock.core.keyring import Keyring
from twinlock.db.engine import Database
from twinlock.factors.passkey.ceremony import RelyingParty
from twinlock.factors.passkey.factor import PasskeyFactor
from twinlock.factors.protocol import Factor
from twinlock.factors.recovery_codes.factor import RecoveryCodes
from twinlock.factors.registry import Factors
from twinlock.factors.totp.factor import TotpFactor
from twinlock.flows.account import AccountManagement
from twinlock.flows.administration import Administration
from twinlock.flows.admission import Admission
from twinlock.flows.changes import Changes
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
from twinlock.flows.installation import open_installation
from twinlock.flows.keys import Keys
from twinlock.flows.liveness import Liveness
from twinlock.flows.login import Login
from twinlock.flows.maintenance import count_schemes
from twinlock.flows.opening import Opening
from twinlock.flows.own_security import OwnSecurity
from twinlock.flows.own_sessions import OwnSessions
from twinlock.flows.parts import Parts
from twinlock.flows.passkey_login import PasskeyLogin
from twinlock.flows.policing import PasswordPolicy
from twinlock.flows.policy_administration import PolicyAdministration
from twinlock.flows.reauthentication import Reauthentication
from twinlock.flows.recovery import Recovery
from twinlock.flows.refresh import Refresh
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
from twinlock.web.hooks import H, Hook, HookArguments, Hooks
from twinlock.web.host_word import HostWord, Taken
from twinlock.web.inclusion import is_present, prefix_in, settle
from twinlock.web.origin import OwnOrigin
from twinlock.web.presence import Presence, write_token_url
from twinlock.web.runtime import Runtime
from twinlock.web.server import add_server_parts
from twinlock.web.sight import Sight
from twinlock.web.upkeep import Upkeep
from twinlock.web.work import Workers

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

log = logging.getLogger("twinlock")

_KEPT_FREE = 2
"""Connections that no request may take: the poll and the upkeep need theirs under any load."""


class Twinlock:
    """Two-factor authentication for one FastAPI application.

    Nothing is global: several instances in one process, each with settings of its own, do
    not know of each other. Database and threads are opened when the application starts.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        directory: Directory | None = None,
        scopes: Iterable[str] = (),
        clock: Clock = utc_now,
        **hooks: Unpack[HookArguments],
    ) -> None:
        """Take over *settings*, by default those of the environment.

        Args:
            directory: The host's own users; None for accounts of ours.
            scopes: The scopes that a client may ask for.
            clock: Where the present moment comes from.
            hooks: Functions to call when something has happened, as ``on_signed_in=…``.

        Raises:
            ConfigurationError: A setting is missing, unknown, or not fit for production.
            TypeError: There is no hook of this name.
        """
        self._hooks = Hooks()
        for name, hook in hooks.items():
            self._hooks.add(name, cast("Hook", hook))  # a TypedDict's values read as objects
        self.settings = settings if settings is not None else Settings()
        self._directory = directory
        self._scopes = frozenset(scopes)
        self._clock = clock
        self._prefix = ""
        self._lock = threading.Lock()
        self._running: Runtime | None = None
        self._word = HostWord(lambda: self.runtime)
        self.second_factor = SecondFactor(lambda: self.runtime)

    def on_signed_in(self, hook: H) -> H:
        """Call *hook* after each sign-in; see `SecurityEvent`."""
        return self._hook("on_signed_in", hook)

    def on_denied(self, hook: H) -> H:
        """Call *hook* after each denied or throttled sign-in; see `SecurityEvent`."""
        return self._hook("on_denied", hook)

    def on_signed_out(self, hook: H) -> H:
        """Call *hook* when an account ended a session, or all of them; see `SecurityEvent`."""
        return self._hook("on_signed_out", hook)

    def on_reauthenticated(self, hook: H) -> H:
        """Call *hook* after a step-up; see `SecurityEvent`."""
        return self._hook("on_reauthenticated", hook)

    def on_factor_enrolled(self, hook: H) -> H:
        """Call *hook* when an account got a factor; see `SecurityEvent`."""
        return self._hook("on_factor_enrolled", hook)

    def on_factor_removed(self, hook: H) -> H:
        """Call *hook* when an account lost a factor, or all; see `SecurityEvent`."""
        return self._hook("on_factor_removed", hook)

    def on_password_changed(self, hook: H) -> H:
        """Call *hook* when a password was changed; see `SecurityEvent`."""
        return self._hook("on_password_changed", hook)

    def on_recovery_used(self, hook: H) -> H:
        """Call *hook* when a recovery code was spent; see `SecurityEvent`."""
        return self._hook("on_recovery_used", hook)

    def on_event(self, hook: H) -> H:
        """Call *hook* after everything that the audit log keeps; see `SecurityEvent`."""
        return self._hook("on_event", hook)

    def finish_hooks(self) -> None:
        """Wait until what was committed so far is told to all hooks; for tests.

        Not from the event loop, on which asynchronous hooks run.
        """
        self._hooks.finish()

    def _hook(self, name: str, hook: H) -> H:
        self._hooks.add(name, hook)
        return hook

    @property
    def runtime(self) -> Runtime:
        """The running installation; starts it where no lifespan has, as in a mounted app.

        Raises:
            InstallationError: Keys and database do not fit, or there are none.
            DatabaseUnavailableError: The database does not answer.
        """
        return self._running or self.start()

    def start(self) -> Runtime:
        """Open the database with its keys and begin to poll; repeated calls do nothing more.

        Raises:
            InstallationError: Keys and database do not fit, or there are none.
            DatabaseUnavailableError: The database does not answer.
        """
        with self._lock:
            if self._running is None:
                self._running = build_runtime(
                    self.settings,
                    clock=self._clock,
                    prefix=self._prefix,
                    scopes=self._scopes,
                    directory=self._directory,
                )
                self._hooks.loop = _running_loop()
                parts = self._running.parts
                parts.database.committed = partial(self._hooks.committed, parts)
                self._running.sight.start()
                self._running.upkeep.start()
                self._running.delivery.start()
            return self._running

    def forget(
        self, account_id: int | str | UUID, *, db: "Session | AsyncSession | None" = None
    ) -> Taken:
        """Close what belongs to an account of the host's that is deleted.

        Its sessions, second factors and recovery codes are gone; who gets the id next inherits
        none of them. Await it in asynchronous code.

        Args:
            account_id: The id, as the directory tells it.
            db: The session that deletes the account, if it has not been committed: this takes
                hold when it is. If it is rolled back, nothing is lost.

        Raises:
            DirectoryError: That is no id.
            UncommittedWritesError: On SQLite, this thread or task holds uncommitted writes, and
                no session was given.
        """
        host_id = host_id_of(account_id)
        return self._word.take(
            lambda runtime: runtime.host_changes.note(host_id, None, now=runtime.clock()),
            db,
            instead=lambda runtime: _declare_changed(runtime, host_id, is_password=False),
        )

    def changed(
        self,
        account_id: int | str | UUID,
        *,
        password: bool = False,
        db: "Session | AsyncSession | None" = None,
    ) -> Taken:
        """Have an account of the host's looked at again, at its next request.

        Disabled, demoted or renamed: without this it is seen at the next refresh, after ten
        minutes at most. Await it in asynchronous code.

        Args:
            account_id: The id, as the directory tells it.
            password: Whether the password is another one: every session ends.
            db: The session that makes the change, if it has not been committed: this takes
                hold when it is.

        Raises:
            DirectoryError: That is no id.
            UncommittedWritesError: On SQLite, this thread or task holds uncommitted writes, and
                no session was given.
        """
        host_id = host_id_of(account_id)
        return self._word.take(
            lambda runtime: _declare_changed(runtime, host_id, is_password=password),
            db,
            instead=lambda runtime: _declare_changed(runtime, host_id, is_password=False),
        )

    def close(self) -> None:
        """End what `start` began."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            if _running_loop() is None:  # else hooks might wait for the loop that waits for them
                self._hooks.finish()
            close_runtime(running)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Start and close with an application; enter it by hand in a mounted one.

        Given an application that included `router` itself, this lets its requests find the
        instance; one that is mounted elsewhere is given by hand: ``auth.lifespan(app)``.
        """
        if isinstance(app, FastAPI) and not is_present(app):
            self._prefix = prefix_in(app)
            settle(app, self, prefix=self._prefix)
        self.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self._hooks.finish)
            self.close()

    def router(self) -> APIRouter:
        """Return all routes, for an application that includes them itself, under any prefix.

        They bring the lifespan that starts and closes this instance and lets the application's
        own routes find it: one instance for one application.
        """
        return WholeApi(lifespan=self.lifespan)

    def install(self, app: FastAPI, *, prefix: str = "") -> None:
        """Give *app* sign-in routes, and its own routes their users.

        Adds the routes under *prefix*, a middleware of three lines that lets ``CurrentUser``
        find this instance, and the token URL of *Authorize* in ``/docs``. Everything else of
        the application stays as it is.
        """
        self._prefix = prefix
        app.include_router(self.router(), prefix=prefix)
        app.add_middleware(Presence, instance=self)
        write_token_url(app, f"{prefix}/token".lstrip("/"))


def _declare_changed(runtime: Runtime, host_id: str, *, is_password: bool) -> None:
    runtime.host_changes.declare_changed(host_id, is_password=is_password, now=runtime.clock())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def create_app(settings: Settings | None = None, *, clock: Clock = utc_now) -> FastAPI:
    """Return the login server: the application that ``twinlock serve`` runs.

    Raises:
        ConfigurationError: A setting is missing, unknown, or not fit for production.
    """
    auth = Twinlock(settings, clock=clock)
    docs = auth.settings.docs_enabled
    app = FastAPI(
        title=auth.settings.service_name,
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        redirect_slashes=False,
    )
    app.state.twinlock = auth
    auth.install(app)
    add_server_parts(
        app,
        cors_origins=auth.settings.cors_origins,
        is_https=auth.settings.base_url.startswith("https:"),
        own_origin=OwnOrigin(auth.settings.base_url, other_origins=())
        if auth.settings.is_production
        else None,
    )
    if auth.settings.pages_enabled and _has_pages():
        _add_pages(app, auth.settings)
    return app


def _has_pages() -> bool:
    """Tell whether what the pages need is installed: the extra ``twinlock[pages]``."""
    return all(find_spec(name) for name in ("babel", "jinja2"))


def _add_pages(app: FastAPI, settings: Settings) -> None:
    from twinlock.pages.install import install_pages

    try:
        install_pages(
            app,
            service=settings.service_name,
            least_password=settings.password_min_length,
            templates=settings.pages_templates,
            stylesheet=settings.pages_stylesheet,
            logo=settings.pages_logo,
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The pages cannot be shown: {error}") from error


@dataclass(frozen=True, slots=True)
class Flows:
    """What can be done in an installation, without anything that runs by itself.

    The command line works with these alone; a server adds threads and what HTTP needs.
    """

    parts: Parts
    policy: PasswordPolicy
    password_check: PasswordCheck
    keys: Keys
    counting: Counting
    verifying: Verifying
    opening: Opening
    changes: Changes
    administration: Administration
    factor_administration: FactorAdministration
    host_changes: HostChanges
    policy_administration: PolicyAdministration
    factor_resets: FactorResets


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
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    try:
        keyring = _open_keyring(settings, database)
        require_current(database)
        digest_key = open_installation(database, keyring)
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
    keys = Keys(parts)
    counting = Counting(parts)
    verifying = Verifying(parts, counting)
    opening = Opening(parts, keys)
    changes = Changes(parts, verifying, opening)
    return Flows(
        parts=parts,
        policy=policy,
        password_check=PasswordCheck(parts.digest_key, profile),
        keys=keys,
        counting=counting,
        verifying=verifying,
        opening=opening,
        changes=changes,
        administration=Administration(parts, counting, changes, policy),
        factor_administration=FactorAdministration(parts, verifying, changes),
        host_changes=HostChanges(parts, counting, changes),
        policy_administration=PolicyAdministration(parts),
        factor_resets=FactorResets(parts, changes),
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
        sight=Sight(parts, flows.keys, Liveness(parts), workers),
        upkeep=Upkeep(
            parts,
            flows.password_check,
            flows.factor_resets,
            keep_events=settings.event_retention,
        ),
        keys=flows.keys,
        opening=flows.opening,
        enrollment=Enrollment(parts, flows.counting, flows.verifying, flows.changes, flows.opening),
        login=Login(parts, flows.counting, flows.verifying, admission),
        passkey_login=PasskeyLogin(parts, flows.counting, flows.verifying, admission),
        refresh=Refresh(parts, flows.opening),
        factors=FactorManagement(parts, flows.verifying, flows.changes),
        reauthentication=Reauthentication(parts, flows.counting, flows.verifying, flows.opening),
        account=AccountManagement(parts, flows.counting, flows.changes, flows.policy),
        recovery=recovery,
        email_change=EmailChange(parts, flows.verifying, flows.changes),
        delivery=Delivery(Delivering(parts, recovery), clock),
        sessions=OwnSessions(parts),
        administration=flows.administration,
        factor_administration=flows.factor_administration,
        factor_resets=flows.factor_resets,
        security=OwnSecurity(parts, flows.verifying),
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
    link_base = settings.base_url + prefix
    return MailOffice(transport, Letterhead(settings.service_name, settings.mail_from, link_base))


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
