"""What a host's own login route asks: whether an account needs more, and whether this is it."""

from collections.abc import Callable, Iterable
from uuid import UUID

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from twinlock.accounts.directory import DirectoryEntry, host_id_of
from twinlock.api.bodies import SignedInOut
from twinlock.api.login import EnrollmentRequiredOut, SecondFactorRequiredOut
from twinlock.api.responses import with_cookies
from twinlock.core.errors import ConfigurationError
from twinlock.core.proof import AuthenticationContext
from twinlock.flows.admission import Request
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    IssuedCookie,
    Offered,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.web.deps import caller
from twinlock.web.problems import login_denied, problem, too_many_tries
from twinlock.web.runtime import Runtime

Outcome = SignedIn | SecondFactorRequired | EnrollmentRequired | Denied | Throttled


class SecondFactor:
    """The second factor of a host that keeps its own login route: ``auth.second_factor``.

    The host vouches for the password and throttles it. Everything after is ours: the answers
    are counted, codes are spent once, and what changes meanwhile voids what was begun.
    """

    def __init__(self, runtime: Callable[[], Runtime]) -> None:
        self._runtime = runtime

    async def is_required(self, account_id: int | str | UUID) -> bool:
        """Tell whether more than the password will be asked of an account, to show it somewhere.

        True for who has a second factor, for whom a policy demands one today, and for an id
        that the directory does not know. Decide nothing by it: `begin` does.

        Args:
            account_id: The id, as the directory tells it.

        Raises:
            ConfigurationError: The instance has no directory.
            TwinlockError: It cannot be told now.
        """
        runtime = self._runtime()
        entry = await self._entry(runtime, account_id)
        if entry is None:
            return True
        return await runtime.workers.run(
            runtime.login.needs_second_factor, entry, now=runtime.clock()
        )

    async def begin(
        self,
        request: HTTPConnection,
        account_id: int | str | UUID,
        *,
        scope: Iterable[str] = (),
        transport: Transport | str = Transport.BEARER,
    ) -> SignedIn | SecondFactorRequired | EnrollmentRequired | Denied:
        """Go on after the right password of an account; without a second factor, sign it in.

        Call it only when the password was right, just now.

        Args:
            request: The request that carried the password.
            account_id: The id, as the directory tells it.
            scope: What the session's tokens carry.
            transport: ``bearer`` for tokens, ``cookie`` for a browser's session.

        Returns:
            SignedIn: There is no second factor, and no policy asks for one.
            SecondFactorRequired: `finish` goes on with its handle, within five minutes.
            EnrollmentRequired: A policy asks for a factor that is not there.
            Denied: The directory does not know the account, or it is disabled.

        Raises:
            ConfigurationError: The instance has no directory.
            TwinlockError: It cannot be decided now.
            ValueError: *transport* is neither.
        """
        runtime = self._runtime()
        entry = await self._entry(runtime, account_id)
        if entry is None:
            return Denied()
        asked = Request(
            caller(request, runtime), Transport(transport), tuple(scope), may_enroll=True
        )
        return await runtime.workers.run(
            runtime.login.continue_vouched, entry, asked, now=runtime.clock()
        )

    async def begin_again(
        self, request: HTTPConnection, login: str, method: str
    ) -> Offered | Denied | Throttled:
        """Return fresh options of one method for a pending login; a mailed code goes out now.

        Args:
            request: The request that asks: the last mail of a day is left to browsers that the
                account knows.
            login: The handle that `begin` gave.
            method: The method to begin again, as `SecondFactorRequired.methods` names it.

        Raises:
            TwinlockError: It cannot be decided now.
        """
        if not _are_texts(login, method):
            return Denied()
        runtime = self._runtime()
        return await runtime.workers.run(
            runtime.answering.begin_again,
            login,
            method,
            caller(request, runtime),
            now=runtime.clock(),
        )

    async def finish(
        self,
        request: HTTPConnection,
        login: str,
        method: str,
        answer: object,
        *,
        transport: Transport | str = Transport.BEARER,
        account_id: int | str | UUID | None = None,
    ) -> SignedIn | EnrollmentRequired | Denied | Throttled:
        """Check the answer to a pending login, and sign its account in.

        Args:
            request: The request that carried the answer.
            login: The handle that `begin` gave.
            method: The method that is answered: ``totp``, ``recovery_codes`` …
            answer: What was typed, or the credential object of a passkey.
            transport: ``bearer`` for tokens, ``cookie`` for a browser's session.
            account_id: Whose login it must be, where you remember who gave the password; the
                login of another account is denied. None for whoever it was begun for.

        Returns:
            SignedIn: The answer was right.
            EnrollmentRequired: It was, and a policy asks for more than it proves.
            Denied: It was wrong or spent, or the login is void: after five wrong answers, five
                minutes, or a change of the account.
            Throttled: The account's answers are counted over all doors, and are too many.

        Raises:
            TwinlockError: It cannot be decided now.
            ValueError: *transport* is neither.
        """
        if not _are_texts(login, method):
            return Denied()
        runtime = self._runtime()
        host_id = None if account_id is None else host_id_of(account_id)
        asked = Request(caller(request, runtime), Transport(transport), host_id=host_id)
        return await runtime.workers.run(
            runtime.answering.submit_answer, login, method, answer, asked, now=runtime.clock()
        )

    async def verify(
        self,
        request: HTTPConnection,
        login: str,
        method: str,
        answer: object,
        *,
        account_id: int | str | UUID,
    ) -> AuthenticationContext | EnrollmentRequired | Denied | Throttled:
        """Check the answer to a pending login, for a host that opens sessions of its own.

        Such a session is the host's to end: what ends ours (a removed factor, a stolen refresh
        token, an operator) does not reach it.

        A handle belongs to the account that it was begun for, and the browser can send that of
        any other. So say whose session is to be opened.

        Args:
            request: The request that carried the answer.
            login: The handle that `begin` gave.
            method: The method that is answered: ``totp``, ``recovery_codes`` …
            answer: What was typed, or the credential object of a passkey.
            account_id: The id that `begin` was given, as you remember it: the login of any other
                account is denied.

        Returns:
            AuthenticationContext: What was proven: ``account`` (the ``sub``), ``acr``, ``amr``,
                ``auth_time``.
            EnrollmentRequired: As `finish` has it, like the two below.
            Denied: The same.
            Throttled: The same.

        Raises:
            TwinlockError: It cannot be decided now.
        """
        outcome = await self.finish(request, login, method, answer, account_id=account_id)
        if not isinstance(outcome, SignedIn):
            return outcome
        runtime = self._runtime()
        if not isinstance(outcome.credentials, IssuedCookie):
            token = outcome.credentials.refresh_token or ""
            await runtime.workers.run(
                runtime.refresh.revoke, token, None, caller(request, runtime), now=runtime.clock()
            )
        return outcome.context

    def response(self, outcome: Outcome) -> Response:
        """Return what ``POST /api/login`` would answer, cookies included.

        Args:
            outcome: What `begin` or `finish` gave: 200 where it goes on, 401 for `Denied`, 429
                with ``Retry-After`` for `Throttled`, 403 where an enrollment is needed that
                cannot be begun here.
        """
        runtime = self._runtime()
        match outcome:
            case SignedIn():
                return with_cookies(runtime, SignedInOut.of(outcome), outcome)
            case SecondFactorRequired():
                return _json(SecondFactorRequiredOut.of(outcome))
            case EnrollmentRequired(handle=str(handle)):
                return _json(EnrollmentRequiredOut.of(handle, outcome))
            case EnrollmentRequired():
                return problem(403, "enrollment_required", "Enroll a second factor first.")
            case Throttled():
                return too_many_tries(outcome)
            case Denied():
                return login_denied()

    async def _entry(self, runtime: Runtime, account_id: int | str | UUID) -> DirectoryEntry | None:
        if runtime.asking is None:
            raise ConfigurationError("second_factor is for a host's users: Twinlock(directory=…)")
        return await runtime.asking.get(host_id_of(account_id))


def _are_texts(*given: object) -> bool:
    """Tell whether these are texts: a host may pass on what somebody's JSON holds."""
    return all(isinstance(one, str) for one in given)


def _json(body: BaseModel) -> JSONResponse:
    response = JSONResponse(body.model_dump(mode="json", exclude_none=True))
    response.headers["Cache-Control"] = "no-store"
    return response
