"""What invitations and registrations end in: a first password, and a login that enrolls a factor.

The password comes through a mailed link, so no mailbox is a second factor beside it, and nothing
is opened: the login that begins here waits for an enrollment, and ends where every login ends.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import NewHash
from twinlock.flows.demands import demands_of, enrollable
from twinlock.flows.outcomes import EnrollmentRequired
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.flows.waiting_logins import require_enrollment


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The password counts, and the first factor may be enrolled at once.

    Attributes:
        login: What the enrollment goes on with.
        is_demanded: Whether a policy lets nobody in without a second factor.
    """

    username: str
    login: EnrollmentRequired
    is_demanded: bool


def welcome(
    tx: Connection,
    parts: Parts,
    verifying: Verifying,
    account: Account,
    new_hash: NewHash,
    *,
    now: datetime,
) -> Welcomed:
    """Set an account's first password, and let a login wait for its first factor.

    Raises:
        AssertionError: The subject's row was not held.
    """
    accounts.update_password(
        tx,
        account.host_id,
        password_hash=new_hash.password_hash,
        scheme=new_hash.scheme,
        expires_at=None,
        by_mailed_link=True,
        now=now,
    )
    demands = demands_of(tx, parts, account, now=now)
    login = require_enrollment(
        tx,
        parts,
        verifying,
        account,
        proven_at=now,
        scope=(),
        methods=enrollable(parts, replace(account, password_mailed_at=now), demands),
        needs_link=False,
        now=now,
    )
    if login is None:
        raise AssertionError("the subject's row was not held")
    return Welcomed(account.username, login, demands.second_factor)
