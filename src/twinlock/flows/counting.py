"""Throttling as the flows use it: which counts a try belongs to, and whose it is."""

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.names import login_key
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core import clock
from twinlock.core.principal import User
from twinlock.core.proof import Reason, SubjectId
from twinlock.core.secrets import new_secret
from twinlock.flows.event_ids import first_id_of
from twinlock.flows.parts import Parts
from twinlock.sessions import store as sessions
from twinlock.throttle import policy, store
from twinlock.throttle.familiar import store as familiar_store
from twinlock.throttle.floods import Floods, Untold
from twinlock.throttle.policy import Familiar, Throttled
from twinlock.throttle.store import Try

_ACCOUNTS_OF_A_BROWSER: Final = 4
_BETWEEN: Final = "."
"""Between the secrets of a ``known`` cookie; base64url has none."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a full sign-in left behind.

    Attributes:
        cookie: For the browser's ``known`` cookie; None where there is no browser.
        is_strange: Whether the account was used before, and never from this network or browser.
    """

    cookie: str | None = field(repr=False)
    is_strange: bool


def second_factor_key(parts: Parts, subject: SubjectId) -> bytes:
    """Return what the answers to an account's second factors are counted under."""
    return parts.digest_key.digest("throttle/second-factor", subject)


class Counting:
    """Counts tries of passwords and second factors.

    Keys are keyed digests: of the subject where there is an account, of the canonical name
    where there is none, so that both are counted alike and a stolen table names nobody.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._floods = Floods[Caller]()

    def name_digest(self, name: str) -> bytes:
        """Return the keyed digest under which a name that nobody has is logged and counted."""
        return self._digest("name", login_key(name).text)

    def take_password_tries(
        self,
        tx: Connection,
        account: Account | None,
        name: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> tuple[Try, ...] | Throttled:
        """Count one try of a password, or say how long to wait."""
        who = self._digest("subject", account.subject) if account else self.name_digest(name)
        network = network_of(caller.ip)
        network_key = self._digest("network", network)
        subject = account.subject if account else None
        familiar, browser = self._familiar(tx, subject, network_key, caller, now=now)
        rules = self._parts.throttle.password_rules(
            network=network_key,
            account_network=self._network_key(who, network),
            strangers=self._digest("strangers", who),
            browser=self._browser_key(who, self._digest("browser", browser)) if browser else None,
            familiar=familiar,
        )
        taken = store.take_password_tries(tx, rules, now=now)
        if isinstance(taken, Throttled):
            # A full network is nobody's event: it must not write one for each name it tries.
            is_own = taken.key != network_key
            times = 1
            if not is_own:
                at = clock.monotonic()
                times = self._floods.note(network_key, taken, caller, now=now, at=at)
            self._record_throttled(
                tx,
                taken,
                caller,
                "password",
                subject=account.subject if account and is_own else None,
                name_digest=who if account is None and is_own else None,
                times=times,
                now=now,
            )
        return taken

    def turn_away(self, caller: Caller, *, asks_next: bool, now: datetime) -> Throttled | None:
        """Refuse the password of a network that floods us, without asking the database again.

        Only the network's own count refuses here, which knows of no account. A browser that
        may be known has another count.

        Args:
            asks_next: Whether who is not refused asks the database now, for the others as well.
        """
        if caller.known_browser is not None:
            return None
        network = self._digest("network", network_of(caller.ip))
        at = clock.monotonic()
        refused = self._floods.refused(network, now=now, at=at)
        if refused is None and asks_next:
            self._floods.ask(network, at=at)
        return refused

    def work(self, *, now: datetime) -> int:
        """Record the refusals from memory that no event has told of yet; return how many.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        untold = self._floods.take_untold()
        if untold:
            self._parts.database.transaction(self._tell, untold, now=now)
        return sum(one.times for one in untold)

    def _tell(self, tx: Connection, untold: Sequence[Untold[Caller]], *, now: datetime) -> None:
        for one in untold:
            throttled = Throttled(timedelta(0), one.key)
            self._record_throttled(
                tx, throttled, one.by, "password", subject=None, times=one.times, now=now
            )

    def take_password_tries_in_session(
        self, tx: Connection, user: User, caller: Caller, *, now: datetime
    ) -> tuple[Try, ...] | Throttled:
        """Count one try of the password inside a session, which strangers cannot lock out.

        Args:
            user: Who is signed in; each session has a count of its own.
        """
        key = self._session_key(user.id, user.session_id)
        rule = self._parts.throttle.password_known_browser
        taken = store.take_try(tx, rule=rule, key=key, now=now)
        if isinstance(taken, Throttled):
            self._record_throttled(tx, taken, caller, "password", subject=user.id, now=now)
            return taken
        return (taken,)

    def take_second_factor_try(
        self,
        tx: Connection,
        subject: SubjectId,
        caller: Caller,
        *,
        method: str | None = None,
        now: datetime,
    ) -> Try | Throttled:
        """Count one answer to a second factor: one count for all methods, doors and sessions."""
        key = self._second_factor_key(subject)
        taken = store.take_try(tx, rule=self._parts.throttle.second_factor, key=key, now=now)
        if isinstance(taken, Throttled):
            self._record_throttled(tx, taken, caller, method, subject=subject, now=now)
        return taken

    def take_passkey_try(
        self, tx: Connection, subject: SubjectId | None, caller: Caller, *, now: datetime
    ) -> tuple[Try, ...] | Throttled:
        """Count one answer of a passkey that comes without a password, for its network.

        A browser that the account knows does not stand in its network's count: no neighbour
        can lock its owner out. The account has its own count.
        """
        network = self._digest("network", network_of(caller.ip))
        familiar, _ = self._familiar(tx, subject, network, caller, now=now)
        if familiar.browser:
            return ()
        key = self._digest("passkey-network", network)
        taken = store.take_try(tx, rule=self._parts.throttle.passkey_network, key=key, now=now)
        if isinstance(taken, Throttled):
            self._record_throttled(tx, taken, caller, "passkey", subject=None, now=now)
            return taken
        return (taken,)

    def take_recovery_try(
        self, tx: Connection, caller: Caller, *, now: datetime
    ) -> Try | Throttled:
        """Count one request for a recovery link, whoever it is for, by its network alone."""
        key = self._digest("recovery-network", network_of(caller.ip))
        return store.take_try(tx, rule=self._parts.throttle.recovery_network, key=key, now=now)

    def take_registration_try(
        self, tx: Connection, caller: Caller, *, now: datetime
    ) -> Try | Throttled:
        """Count one request for an account, whoever it is for, by its network alone."""
        key = self._digest("registration-network", network_of(caller.ip))
        return store.take_try(tx, rule=self._parts.throttle.recovery_network, key=key, now=now)

    def is_known_browser(
        self, tx: Connection, subject: SubjectId, caller: Caller, *, now: datetime
    ) -> bool:
        """Tell whether the account has fully signed in from this browser before."""
        network = self._digest("network", network_of(caller.ip))
        return self._familiar(tx, subject, network, caller, now=now)[0].browser

    def take_decoy_try(
        self, tx: Connection, name: str, caller: Caller, *, method: str | None = None, now: datetime
    ) -> Try | Throttled:
        """Count what a second-factor try counts, so that an answer for nobody takes as long.

        Args:
            tx: The transaction.
            name: The login name as typed, or the credential that nobody has.
            caller: Where the request came from.
            method: Of the answer; None beside a wrong password, whose own event is enough.
            now: The moment of the request.
        """
        key = self._digest("decoy", login_key(name).text)
        rule = self._parts.throttle.second_factor_decoy
        taken = store.take_try(tx, rule=rule, key=key, now=now)
        if isinstance(taken, Throttled) and method is not None:
            self._record_throttled(tx, taken, caller, method, subject=None, now=now)
        return taken

    def give_back(self, tx: Connection, tries: Iterable[Try]) -> None:
        """Uncount exactly these tries."""
        given = tuple(tries)
        store.give_back(tx, given)
        for one in given:
            self._floods.forget(one.key)

    def note_right_answer(self, tx: Connection, taken: Try) -> None:
        """Uncount a second-factor try that was right, and end the row of wrong ones."""
        store.give_back_right_answer(tx, taken)

    def is_stopped(self, taken: Try) -> bool:
        """Tell whether so many answers in a row were wrong that short codes no longer count."""
        return taken.in_a_row > policy.SHORT_CODE_STOP

    def remember(
        self, tx: Connection, subject: SubjectId, caller: Caller, *, now: datetime
    ) -> Remembered:
        """Make the network and the browser of a full sign-in familiar."""
        network = self._digest("network", network_of(caller.ip))
        is_strange = familiar_store.remember(
            tx, subject_id=subject, kind=policy.NETWORK, digest=network, now=now
        ) and familiar_store.has_other_network(tx, subject, network=network)
        if not caller.is_browser:
            return Remembered(None, is_strange)
        familiar, secret = self._familiar(tx, subject, network, caller, now=now)
        cookie = caller.known_browser
        if secret is None or not familiar.browser:
            secret = new_secret()  # a value of the browser's own choice may be somebody else's
            others = cookie.split(_BETWEEN) if cookie else []
            cookie = _BETWEEN.join([secret, *others][:_ACCOUNTS_OF_A_BROWSER])
        browser = self._digest("browser", secret)
        familiar_store.remember(
            tx, subject_id=subject, kind=policy.BROWSER, digest=browser, now=now
        )
        return Remembered(cookie, is_strange and not familiar.browser)

    def _familiar(
        self,
        tx: Connection,
        subject: SubjectId | None,
        network: bytes,
        caller: Caller,
        *,
        now: datetime,
    ) -> tuple[Familiar, str | None]:
        """Return what the account has signed in from before, and the browser's secret for it.

        A browser holds one secret for each account that it is known to.
        """
        cookie = caller.known_browser
        secrets = cookie.split(_BETWEEN)[:_ACCOUNTS_OF_A_BROWSER] if cookie else [None]
        familiar = Familiar(network=False, browser=False)
        for secret in secrets:
            familiar = familiar_store.find_familiar(
                tx,
                subject_id=subject,
                network=network,
                browser=self._digest("browser", secret) if secret else None,
                lifetimes=self._parts.throttle.familiar_for,
                now=now,
            )
            if familiar.browser:
                return familiar, secret
        return familiar, secrets[0]

    def unlock(self, tx: Connection, subject: SubjectId, *, now: datetime) -> None:
        """Forget every count of an account, whatever it is counted by: an administrator's act.

        Each try that a count of the account and a network holds is in the log, with its address.
        The networks' own counts go on: they are nobody's account's.
        """
        who = self._digest("subject", subject)
        since = now - self._parts.throttle.password_account_network.longest.window
        places = audit.list_places(tx, subject, first=first_id_of(since))
        living = sessions.find_sessions(tx, subject, now=now)
        for key in (  # in the order in which a try takes them, or two would deadlock
            self._second_factor_key(subject),
            *{self._network_key(who, network_of(ip)) for ip in places},
            self._digest("strangers", who),
            *(self._browser_key(who, one) for one in familiar_store.list_browsers(tx, subject)),
            *(self._session_key(subject, one.id) for one in living),
        ):
            store.forget(tx, key)

    def forget(self, tx: Connection, subject: SubjectId, *, now: datetime) -> None:
        """Forget what was counted and familiar, when an account is deleted."""
        self.unlock(tx, subject, now=now)
        familiar_store.forget(tx, subject)

    def _network_key(self, who: bytes, network: str) -> bytes:
        return self._digest("account-network", who, network)

    def _browser_key(self, who: bytes, browser: bytes) -> bytes:
        return self._digest("account-browser", who, browser)

    def _session_key(self, subject: SubjectId, session_id: str) -> bytes:
        return self._digest("session", subject, session_id)

    def _second_factor_key(self, subject: SubjectId) -> bytes:
        return second_factor_key(self._parts, subject)

    def _digest(self, purpose: str, *parts: str | bytes) -> bytes:
        return self._parts.digest_key.digest(f"throttle/{purpose}", *parts)

    def _record_throttled(
        self,
        tx: Connection,
        throttled: Throttled,
        caller: Caller,
        method: str | None,
        *,
        subject: SubjectId | None,
        name_digest: bytes | None = None,
        times: int = 1,
        now: datetime,
    ) -> None:
        """Keep repeated throttled denials of one count and hour as one row that counts them."""
        hour = now.replace(minute=0, second=0, microsecond=0).isoformat()
        audit.record(
            tx,
            Event(
                EventType.LOGIN_THROTTLED,
                now,
                caller,
                subject=subject,
                name_digest=name_digest,
                reason=Reason.THROTTLED,
                method=method,
                repeat_key=self._digest("event", throttled.key or b"", method or "", hour),
                times=times,
            ),
        )


@functools.lru_cache(maxsize=4096)
def network_of(ip: str | None) -> str:
    """Return the network that a client is counted by: IPv4 /32, IPv6 /64."""
    if ip is None:
        return "none"
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return "none"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
