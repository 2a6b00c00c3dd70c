"""States of accounts that lie elsewhere than in their rows: counts of tries, and policies."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection

from twinlock.core.proof import SubjectId
from twinlock.flows.account_listing import BEHIND, STOPPED, Found, Judge
from twinlock.flows.counting import second_factor_key
from twinlock.flows.parts import Parts
from twinlock.policies.policy import demands_on, meets
from twinlock.throttle import policy as throttle_policy
from twinlock.throttle.search import store as throttle


def judge_of(parts: Parts, state: str, *, now: datetime) -> Judge | None:
    """Return who says whether accounts are in a state; None where their rows tell."""

    def stopped(db: Connection, those: Sequence[Found]) -> Collection[SubjectId]:
        keys = {second_factor_key(parts, one.account.subject): one for one in those}
        counts = throttle.find_in_a_row(db, list(keys), least=throttle_policy.SHORT_CODE_STOP)
        return {keys[key].account.subject for key in counts}

    def behind(db: Connection, those: Sequence[Found]) -> Collection[SubjectId]:
        policies = parts.policies.read(db)
        strong = [one.method for one in parts.factors if one.is_phishing_resistant]
        found = set()
        for one in those:
            account = one.account
            demands = demands_on(policies, account.subject, account.roles, now=now)
            allowed = [method for method in one.methods if demands.may_enroll(method)]
            if not meets(demands.acr, allowed, strong):
                found.add(account.subject)
        return found

    return {STOPPED: stopped, BEHIND: behind}.get(state)
