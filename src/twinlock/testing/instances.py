"""The instances that one test works with, all on the installation made for it."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from twinlock.accounts.directory import Directory
from twinlock.app import Twinlock
from twinlock.config.settings import Settings
from twinlock.core.clock import Clock
from twinlock.testing.installation import changed, refuse_production


class Instances:
    """Makes instances, and remembers the newest; `close` them when the test is over."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Work on the installation of *settings*, by *clock*.

        Raises:
            ConfigurationError: It is in production.
        """
        refuse_production(settings)
        self._settings = settings
        self._clock = clock
        self._newest: Twinlock | None = None
        self._at_the_end = ExitStack()

    def __call__(
        self,
        own: Twinlock | None = None,
        *,
        directory: Directory | None = None,
        scopes: Iterable[str] = (),
        **changes: Any,
    ) -> Twinlock:
        """Return an instance that runs on the test's installation, by the test's clock.

        Args:
            own: The instance of your application, if it makes one itself. Until the test is
                over it works here, and then as before.
            directory: The host's own users, of a new instance.
            scopes: The scopes that a client may ask for, of a new instance.
            changes: Settings that are to differ from the installation's.

        Raises:
            ConfigurationError: A setting is wrong, or these are production's.
            TypeError: An instance of the application keeps its own directory and scopes.
        """
        if own is not None and (directory is not None or tuple(scopes)):
            raise TypeError("directory and scopes are those of the instance that is given")
        settings = changed(self._settings, **changes) if changes else self._settings
        if own is None:
            auth = Twinlock(settings, directory=directory, scopes=scopes, clock=self._clock)
        else:
            auth = self._move(own, settings)
        self._at_the_end.callback(auth.close)
        self._newest = auth
        return auth

    def newest(self) -> Twinlock:
        """Return the instance made last, or one made now."""
        return self() if self._newest is None else self._newest

    def close(self) -> None:
        """End what runs, and give instances back as they were."""
        self._at_the_end.close()

    def _move(self, auth: Twinlock, settings: Settings) -> Twinlock:
        before = auth.settings, auth._clock
        auth.close()
        auth.settings, auth._clock = settings, self._clock

        def move_back() -> None:
            auth.settings, auth._clock = before

        self._at_the_end.callback(move_back)
        return auth
