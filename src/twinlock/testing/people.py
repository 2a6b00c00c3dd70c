"""Accounts for tests, and signing in as them without the password dance."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from twinlock.accounts.directory import Account, DirectoryEntry
from twinlock.app import Twinlock
from twinlock.composition import build_flows
from twinlock.core.proof import Acr, AuthenticationContext, Continued
from twinlock.flows.account_making import NewAccount
from twinlock.flows.administration import Administration
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import IssuedTokens
from twinlock.testing.installation import OPERATOR, refuse_production
from twinlock.web.hooks import running_loop
from twinlock.web.runtime import Runtime

T = TypeVar("T")

_AMR: Final = {
    Acr.AAL1: ("pwd",),
    Acr.AAL2: ("pwd", "otp", "mfa"),
    Acr.PHR: ("pwd", "hwk", "mfa"),
}


def administration_of(auth: Twinlock) -> Administration:
    """Return what an operator can do in a running installation.

    Raises:
        ConfigurationError: It is in production.
    """
    refuse_production(auth.settings)
    return build_flows(auth.runtime.parts, auth.settings).administration


def create_user(
    auth: Twinlock, username: str, *, password: str | None = None, **given: Any
) -> Account:
    """Make an account.

    Args:
        password: What it can sign in with; None for an account that `login_as` alone opens.
        given: What else `NewAccount` takes: ``email``, ``full_name``, ``roles`` …

    Raises:
        ConfigurationError: The installation is in production.
        ValueError: There cannot be such an account, or accounts are the host's to make.
    """
    administration = administration_of(auth)
    runtime = auth.runtime
    if runtime.asking is not None:
        raise ValueError(f"{username!r}: users are your directory's: add them to your own table")
    new_hash = None if password is None else runtime.password_check.new_hash(password)
    new = NewAccount(username, password=new_hash, **given)
    created = administration.create(new, OPERATOR, now=runtime.clock())
    if isinstance(created, Account):
        return created
    raise ValueError(f"{username!r}: {created.message}")


class CreateUser:
    """Makes accounts that a test signs in with."""

    def __init__(self, nearest: Callable[[], Twinlock]) -> None:
        """Make them in the instance that *nearest* returns."""
        self._nearest = nearest

    def __call__(
        self,
        username: str,
        *,
        password: str | None = None,
        email: str | None = None,
        full_name: str | None = None,
        roles: Iterable[str] = (),
    ) -> Account:
        """Make an account.

        Args:
            username: What it is called; no ``@`` in it.
            password: What it can sign in with; None for an account that `LoginAs` alone opens.
            email: Its address, taken as verified; None for none.
            full_name: Its name as people say it.
            roles: Each one word.

        Raises:
            ConfigurationError: The installation is in production.
            ValueError: There cannot be such an account, or users are a directory's.
        """
        return create_user(
            self._nearest(),
            username,
            password=password,
            email=email,
            full_name=full_name,
            roles=tuple(roles),
        )


class LoginAs:
    """Opens sessions that prove what a test says they do."""

    def __init__(self, nearest: Callable[[], Twinlock]) -> None:
        """Take the instance from *nearest* where a call names none."""
        self._nearest = nearest

    def __call__(
        self,
        user: Account | str,
        acr: Acr | str = Acr.AAL2,
        *,
        amr: Iterable[str] | None = None,
        scope: Iterable[str] = (),
        auth_time: datetime | None = None,
        auth: Twinlock | None = None,
    ) -> dict[str, str]:
        """Return the headers of a client that is signed in as *user*.

        The session is a real one: it can be listed, refreshed and ended, and dies with
        whatever ends sessions.

        Args:
            user: An account, or the name of one, which is made if there is none. Where users
                are the host's: the name that its directory finds one by.
            acr: How strongly the sign-in is to count: ``aal1``, ``aal2`` or ``phr``.
            amr: The methods it is to have used; by default what is usual for the *acr*.
            scope: What its token is to carry.
            auth_time: When it was proven; now by default.
            auth: Whose session; by default the instance that the test made last.

        Raises:
            ConfigurationError: The installation is in production.
            ValueError: *acr* is none of the three, or the host's directory finds nobody.
        """
        auth = self._nearest() if auth is None else auth
        refuse_production(auth.settings)
        acr = Acr(acr)
        account = _account(auth, user)
        now = auth.runtime.clock()
        context = AuthenticationContext(
            account.subject,
            acr,
            _AMR[acr] if amr is None else tuple(amr),
            now if auth_time is None else auth_time,
        )
        return _sign_in(auth, account, context, scope=tuple(scope), now=now)


def _account(auth: Twinlock, user: Account | str) -> Account:
    """Return the account as it is now: its generation may have risen since."""
    name = user if isinstance(user, str) else user.username
    if auth.runtime.asking is not None:
        return _wait(auth, _account_of_host(auth.runtime, name))
    return administration_of(auth).find(name) or create_user(auth, name)


async def _account_of_host(runtime: Runtime, name: str) -> Account:
    """Return an account of the host's, with the subject that its first sign-in would write."""
    entry = None if runtime.asking is None else await runtime.asking.find(name)
    if entry is None:
        raise ValueError(f"{name!r}: your directory finds nobody; add the user to your own table")
    return await runtime.workers.run(_with_subject, runtime, name, entry)


def _with_subject(runtime: Runtime, name: str, entry: DirectoryEntry) -> Account:
    accounts, now = runtime.parts.accounts, runtime.clock()

    def write(tx: Connection) -> Account:
        account = accounts.find(tx, name, entry)
        if account is None:
            raise LookupError(name)
        accounts.write_subject(tx, account, now=now)
        return account

    return runtime.parts.database.transaction(write)


def _wait(auth: Twinlock, asked: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine does: on the application's loop, to which its engine may belong.

    A test that runs on that loop itself cannot wait for it, and gets a loop of its own.
    """
    loop = auth._hooks.loop
    if loop is not None and loop.is_running() and loop is not running_loop():
        return asyncio.run_coroutine_threadsafe(asked, loop).result()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()


def _sign_in(
    auth: Twinlock,
    account: Account,
    context: AuthenticationContext,
    *,
    scope: tuple[str, ...],
    now: datetime,
) -> dict[str, str]:
    opening = auth.runtime.opening
    opened = auth.runtime.parts.database.transaction(
        opening.open_session,
        account,
        Continued(context),
        OPERATOR,
        generation=account.generation,
        scope=scope,
        transport=Transport.BEARER,
        now=now,
    )
    issued = opening.issue(opened, now=now)
    if not isinstance(issued, IssuedTokens):
        raise TypeError("a bearer's session was answered with a cookie")
    return {"Authorization": f"Bearer {issued.access_token}"}
