"""An admin who acts on others' accounts, and must still be an admin when the change is made."""

from sqlalchemy import Connection

from twinlock.core.principal import ADMIN, User
from twinlock.flows.parts import Parts
from twinlock.installation import store as installation


class NoLongerAdminError(Exception):
    """The acting account was demoted, disabled or changed since its request was let in."""


def hold_admin(tx: Connection, parts: Parts, user: User) -> None:
    """Hold the row that all admins share, so that of two who end each other one comes first.

    Raises:
        NoLongerAdminError: The other came first.
    """
    installation.lock_admins(tx)
    account = parts.accounts.get(tx, user.id)
    if account is None or account.is_disabled or ADMIN not in account.roles:
        raise NoLongerAdminError
    if account.generation != user.generation:
        raise NoLongerAdminError
