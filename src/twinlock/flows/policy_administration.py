"""Setting policies, and telling what they demand of an account."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.flows.acting import hold_admin
from twinlock.flows.demands import demands_of
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.policies.policy import Demands, Kind, Policy
from twinlock.sessions import store as sessions

CHANGED = Refused("changed_meanwhile", "The policies changed just now. Look again.")
NO_SUCH_POLICY = Refused("not_found", "There is no policy for these.")
NOTHING_ENROLLABLE = Refused(
    "nothing_enrollable", "No method that may be enrolled could meet this policy."
)


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

    def _set(
        self, tx: Connection, new: Policy, caller: Caller, admin: User | None, *, now: datetime
    ) -> Policy | Refused:
        if admin is not None:
            hold_admin(tx, self._parts, admin)
        others = [one for one in self._parts.policies.read(tx) if one.target != new.target]
        if not self._parts.policies.write(tx, [*others, new], now=now):
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
        if admin is not None:
            hold_admin(tx, self._parts, admin)
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
        }
        audit.record(tx, Event(type_, now, caller, details=details))
        return one
