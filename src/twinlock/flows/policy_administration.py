"""Setting policies, and telling what they demand of an account."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.roles import role_problem
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import User
from twinlock.core.proof import Acr, SubjectId
from twinlock.flows.acting import hold_admin
from twinlock.flows.demands import demands_of
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.flows.policy_reach import leaves_an_admin, reachable_acr
from twinlock.installation import store as installation
from twinlock.policies.policy import Demands, Kind, Policy
from twinlock.sessions import store as sessions

CHANGED: Final = Refused("changed_meanwhile", "The policies changed just now. Look again.")
NO_SUCH_POLICY: Final = Refused("not_found", "There is no policy for these.")
NO_SUCH_TARGET: Final = Refused("not_found", "There is no such account.")
NO_TARGET: Final = Refused("target_invalid", "A target is everyone, role:NAME or account:USER.")
NOTHING_ENROLLABLE: Final = Refused(
    "nothing_enrollable", "No method that may be enrolled could meet this policy."
)
LAST_ADMIN: Final = Refused(
    "last_admin", "With the other policies, no administrator could meet this one."
)
_ID_LENGTH: Final = 32


class PolicyAdministration:
    """Changes who needs what by when. A change is seen at every session's next request."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list_policies(self) -> Sequence[Policy]:
        """Return every policy."""
        return self._parts.database.reading(self._parts.policies.read)

    def explain(self, account: Account, *, now: datetime) -> Demands:
        """Return what an account needs, and by which policies."""
        return self._parts.database.reading(demands_of, self._parts, account, now=now)

    def reachable(self, account: Account) -> Acr:
        """Return the most that a sign-in of an account can prove with the factors that it has."""
        return self._parts.database.reading(reachable_acr, self._parts, account)

    def read_target(self, target: str) -> tuple[Kind, str] | Refused:
        """Return whom ``everyone``, ``role:NAME`` or ``account:USER`` names.

        Args:
            target: USER is a username, an e-mail address, or an account's ``id``.
        """
        kind, _, name = target.partition(":")
        if kind == Kind.EVERYONE and target == kind:
            return Kind.EVERYONE, ""
        if kind == Kind.ROLE and name:
            problem = role_problem(name)
            return Refused("target_invalid", problem) if problem else (Kind.ROLE, name)
        if kind == Kind.ACCOUNT and name:
            found = self._parts.database.reading(self._find, name)
            return (Kind.ACCOUNT, found.subject) if found else NO_SUCH_TARGET
        return NO_TARGET

    def unknown_method(self, methods: Sequence[str]) -> Refused | None:
        """Return why these are no methods that can be enrolled, or None."""
        known = [one.method for one in self._parts.factors if one.max_per_account]
        if all(method in known for method in methods):
            return None
        return Refused("unknown_method", f"A method is one of: {', '.join(known)}.")

    def begin_anew(self, new: Policy, caller: Caller, *, now: datetime) -> Policy | Refused:
        """Put one policy in the place of all: where the row is gone, or its seal is broken."""
        if not self.can_be_met(new):
            return NOTHING_ENROLLABLE
        return self._told(self._parts.database.transaction(self._begin_anew, new, caller, now=now))

    def set_policy(
        self, new: Policy, caller: Caller, *, admin: User | None = None, now: datetime
    ) -> Policy | Refused:
        """Set the policy of its target, in place of an older one.

        Raises:
            NoLongerAdminError: The *admin* who asks for it is one no longer.
        """
        if not self.can_be_met(new):
            return NOTHING_ENROLLABLE
        return self._told(self._parts.database.transaction(self._set, new, caller, admin, now=now))

    def remove_policy(
        self, kind: Kind, name: str, caller: Caller, *, admin: User | None = None, now: datetime
    ) -> Policy | Refused:
        """Remove the policy of a target.

        Raises:
            NoLongerAdminError: The *admin* who asks for it is one no longer.
        """
        return self._told(
            self._parts.database.transaction(self._remove, kind, name, caller, admin, now=now)
        )

    def can_be_met(self, new: Policy) -> bool:
        """Tell whether anything that may be enrolled would be enough."""
        return new.acr is Acr.AAL1 or any(
            factor.max_per_account > 0
            and (not new.methods or factor.method in new.methods)
            and (new.acr is not Acr.PHR or factor.is_phishing_resistant)
            for factor in self._parts.factors
        )

    def _told(self, done: Policy | Refused) -> Policy | Refused:
        if isinstance(done, Policy):
            self._parts.marks.bump_all()
        return done

    def _find(self, db: Connection, name: str) -> Account | None:
        if len(name) == _ID_LENGTH and name.isascii() and name.isalnum():
            found = self._parts.accounts.get(db, SubjectId(name))
            if found is not None:
                return found
        return self._parts.accounts.find(db, name)

    def _hold(self, tx: Connection, admin: User | None) -> None:
        """Lock the row that all admins share, so that nobody becomes or ceases to be one meanwhile.

        Raises:
            NoLongerAdminError: The acting admin is one no longer.
        """
        if admin is None:
            installation.lock_admins(tx)
        else:
            hold_admin(tx, self._parts, admin)

    def _begin_anew(
        self, tx: Connection, new: Policy, caller: Caller, *, now: datetime
    ) -> Policy | Refused:
        self._hold(tx, None)
        if self._parts.accounts.are_ours and not leaves_an_admin(tx, self._parts, [new]):
            return LAST_ADMIN
        if not self._parts.policies.write_anew(tx, [new], now=now):
            return CHANGED
        return self._changed(tx, EventType.POLICY_SET, new, caller, now=now)

    def _set(
        self, tx: Connection, new: Policy, caller: Caller, admin: User | None, *, now: datetime
    ) -> Policy | Refused:
        self._hold(tx, admin)
        others = [one for one in self._parts.policies.read(tx) if one.target != new.target]
        policies = [*others, new]
        if self._parts.accounts.are_ours and not leaves_an_admin(tx, self._parts, policies):
            return LAST_ADMIN
        if not self._parts.policies.write(tx, policies, now=now):
            return CHANGED
        return self._changed(tx, EventType.POLICY_SET, new, caller, now=now)

    def _remove(
        self,
        tx: Connection,
        kind: Kind,
        name: str,
        caller: Caller,
        admin: User | None,
        *,
        now: datetime,
    ) -> Policy | Refused:
        self._hold(tx, admin)
        found = self._parts.policies.read(tx)
        old = next((one for one in found if (one.kind, one.name) == (kind, name)), None)
        if old is None:
            return NO_SUCH_POLICY
        if not self._parts.policies.write(tx, [one for one in found if one is not old], now=now):
            return CHANGED
        return self._changed(tx, EventType.POLICY_REMOVED, old, caller, now=now)

    def _changed(
        self, tx: Connection, type_: EventType, one: Policy, caller: Caller, *, now: datetime
    ) -> Policy:
        sessions.mark_every_changed(tx)
        details: dict[str, str | int | Sequence[str]] = {
            "target": one.target,
            "acr": one.acr,
            "since": one.since.isoformat(),
            "methods": list(one.methods),
            "trusts_devices": int(one.trusts_devices),
            "reminds": int(one.reminds),
        }
        audit.record(tx, Event(type_, now, caller, details=details))
        return one
