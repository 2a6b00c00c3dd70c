"""What applications hold: `Twinlock`."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Unpack, cast
from uuid import UUID

from fastapi import APIRouter, FastAPI

from twinlock.accounts.directory import Directory
from twinlock.api.routers import WholeApi
from twinlock.config.settings import Settings
from twinlock.core.clock import Clock, utc_now
from twinlock.core.errors import ConfigurationError, DatabaseUnavailableError
from twinlock.pages.extra import has_pages
from twinlock.web.hooks import H, Hook, HookArguments, Hooks, running_loop
from twinlock.web.host_word import HostWord, Taken
from twinlock.web.inclusion import is_present, prefix_in, settle, write_token_urls
from twinlock.web.late_start import LateStart, may_come_back
from twinlock.web.observing import Observer, tell
from twinlock.web.presence import Presence, write_token_url

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from twinlock.api.second_factor import SecondFactor
    from twinlock.flows.parts import Parts
    from twinlock.web.runtime import Runtime

log = logging.getLogger("twinlock")


class _FirstUse:
    """Starts an instance that is asked for its runtime before anything has started it.

    From then on `Twinlock.start` has put the runtime into the instance itself, where every
    request finds it without a call.
    """

    def __get__(self, instance: "Twinlock", owner: object = None) -> "Runtime":
        """Return the running installation.

        Raises:
            InstallationError: Keys and database do not fit, or there are none.
            DatabaseUnavailableError: The database does not answer.
        """
        if instance._late is not None:
            raise DatabaseUnavailableError("the start waits for the database")
        return instance.start()


class Twinlock:
    """Two-factor authentication for one FastAPI application.

    Nothing is global: several instances in one process, each with settings of its own, do
    not know of each other. Database and threads are opened when the application starts, and
    what works with them is imported no earlier.

    A hook is a plain or ``async`` function of one `SecurityEvent`; its decorator returns it.
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
        self._has_pages = False
        self._lock = threading.Lock()
        self._running: Runtime | None = None
        self._late: LateStart | None = None
        self._observers: list[Observer] = []
        self._apis: list[WholeApi] = []
        self._word = HostWord(lambda: self.runtime)

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
        """Wait until hooks have run for all that was committed; not for the event loop."""
        self._hooks.finish()

    def _hook(self, name: str, hook: H) -> H:
        self._hooks.add(name, hook)
        return hook

    if TYPE_CHECKING:  # type checkers match protocols by properties, not by other descriptors

        @property
        def runtime(self) -> "Runtime":
            """The running installation; starts it where no lifespan has, as in a mounted app."""

    else:
        runtime = _FirstUse()

    @cached_property
    def second_factor(self) -> "SecondFactor":
        """The second factor of a host that keeps a login route of its own."""
        from twinlock.api.second_factor import SecondFactor

        return SecondFactor(lambda: self.runtime)

    def start(self) -> "Runtime":
        """Open the database with its keys and begin to poll; repeated calls do nothing more.

        Raises:
            InstallationError: Keys and database do not fit, or there are none.
            DatabaseUnavailableError: The database does not answer.
        """
        return self._start(running_loop())

    def _start(self, loop: asyncio.AbstractEventLoop | None) -> "Runtime":
        from twinlock.composition import build_runtime

        with self._lock:
            if self._running is None:
                self._running = build_runtime(
                    self.settings,
                    clock=self._clock,
                    prefix=self._prefix,
                    scopes=self._scopes,
                    directory=self._directory,
                )
                self._hooks.loop = loop
                self._watch(self._running)
                if self._mails_lead_nowhere(self._running.parts):
                    log.warning("mail_links_without_pages")
                self._running.sight.start()
                self._running.upkeep.start()
                self._running.delivery.start()
                for api in self._apis:
                    api.fill()
                vars(self)["runtime"] = self._running
            return self._running

    def observe(self, observer: Observer) -> None:
        """Tell *observer* what happens here, from the next start on: for metrics.

        Unlike a hook it is told at once, on the thread of the request, and must not block.
        """
        self._observers.append(observer)

    def _watch(self, runtime: "Runtime") -> None:
        def committed(events: Sequence[object]) -> None:
            tell(self._observers, events)
            self._hooks.committed(runtime.parts, events)

        def looked_around() -> None:
            pool = runtime.hash_pool
            for observer in self._observers:
                observer.looked_around(hashes=pool.taken, places=pool.places)

        runtime.parts.database.committed = committed
        runtime.sight.looked_around = looked_around

    def _mails_lead_nowhere(self, parts: "Parts") -> bool:
        settings = self.settings
        leave = parts.mail is not None and settings.smtp_url is not None
        return leave and not self._has_pages and settings.mail_links is None

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
        return self._word.deleted(account_id, db)

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
        return self._word.changed(account_id, db, is_password=password)

    def close(self) -> None:
        """End what `start` began; a request that comes later starts it again."""
        from twinlock.composition import close_runtime

        late, self._late = self._late, None
        if late is not None:
            late.stop()
        if running_loop() is None:  # else hooks might wait for the loop that waits for them
            self._finish()
        with self._lock:
            running, self._running = self._running, None
            vars(self).pop("runtime", None)
        if running is not None:
            close_runtime(running)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Start and close with an application; enter it by hand in a mounted one.

        While the database is away, requests that need it are answered 503, and the start is
        tried again until it is back.

        Given an application that included `router` itself, this lets its requests find the
        instance; one that is mounted elsewhere is given by hand: ``auth.lifespan(app)``.

        Args:
            app: None where `install` has been called.

        Raises:
            ConfigurationError: That application has another instance.
            InstallationError: Keys and database do not fit, or there are none.
        """
        if isinstance(app, FastAPI):
            if not is_present(app, self):
                self._prefix = prefix_in(app)
                settle(app, self)
            write_token_urls(app, f"{self._prefix}/token".lstrip("/"))
        self._start_or_wait()
        try:
            yield
        finally:
            await asyncio.to_thread(self._finish)
            if self._late is not None:
                await asyncio.to_thread(self._late.stop)
            self.close()

    def _finish(self) -> None:
        """Write down what only memory holds, and tell the hooks what waits for them."""
        if self._running is not None:
            self._running.upkeep.work_at_end()
        self._hooks.finish()

    def _start_or_wait(self) -> None:
        """Start; while a database that may come back is away, refuse requests and try again."""
        try:
            self.start()
        except DatabaseUnavailableError as error:
            if not may_come_back(self.settings.database_url):
                raise
            for api in self._apis:
                api.fill()
            again = partial(self._start, running_loop())
            self._late = LateStart(again, because=error)

    def router(self) -> APIRouter:
        """Return all routes, for an application that includes them itself, under any prefix.

        They bring the lifespan that starts and closes this instance and lets the application's
        own routes find it: one instance for one application. Beside another instance, that
        application does not start; its own application, mounted, is the place for a second.
        """
        api = WholeApi(lifespan=self.lifespan)
        self._apis.append(api)
        return api

    def install(self, app: FastAPI, *, prefix: str = "", pages: bool = False) -> None:
        """Give *app* sign-in routes, and its own routes their users.

        Adds the routes under *prefix*, a middleware of three lines that lets ``CurrentUser``
        find this instance, and the token URL of *Authorize* in ``/docs``. Everything else of
        the application stays as it is.

        Args:
            app: The application; before it starts.
            prefix: What the paths of our routes begin with: empty, or from a slash to no slash.
            pages: Whether there are pages for people as well; they need ``twinlock[pages]``.

        Raises:
            ConfigurationError: The pages cannot be shown, or *app* has another instance.
        """
        is_installed = is_present(app, self)
        self._prefix = prefix
        app.include_router(self.router(), prefix=prefix)
        if not is_installed:  # the same instance, under one more prefix
            app.add_middleware(Presence, instance=self)
        write_token_url(app, f"{prefix}/token".lstrip("/"))
        if pages:
            self.add_pages(app)

    def add_pages(self, app: FastAPI) -> None:
        """Give *app* pages for people, under the prefix of `install`, which comes first.

        Raises:
            ConfigurationError: The pages cannot be shown.
        """
        if not has_pages():
            raise ConfigurationError("Pages need more: pip install 'twinlock[pages]'")
        self._has_pages = True
        _add_pages(app, self.settings, self._prefix)


def _add_pages(app: FastAPI, settings: Settings, prefix: str) -> None:
    from twinlock.pages.install import install_pages

    try:
        install_pages(
            app,
            service=settings.service_name,
            default_language=settings.default_language,
            least_password=settings.password_min_length,
            lifetimes=settings.lifetimes(),
            contact=settings.pages_contact,
            prefix=prefix,
            templates=settings.pages_templates,
            stylesheet=settings.pages_stylesheet,
            logo=settings.pages_logo,
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The pages cannot be shown: {error}") from error
