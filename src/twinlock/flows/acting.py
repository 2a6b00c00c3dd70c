"""An admin who acts on others' accounts, and must still be an admin when the change is made."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from twinlock.core.principal import ADMIN, User
from twinlock.flows.parts import Parts
from twinlock.installation import store as installation

P = ParamSpec("P")
T = TypeVar("T")


class NoLongerAdminError(Exception):
    """The acting account was demoted, disabled or changed since its request was let in."""


def hold_admin(tx: Connection, parts: Parts, user: User) -> None:
    """Lock the row that all admins share: of two who disable each other at once, one comes first.

    Raises:
        NoLongerAdminError: The other came first.
    """
    installation.lock_admins(tx)
    account = parts.accounts.get(tx, user.id)
    if account is None or account.is_disabled or ADMIN not in account.roles:
        raise NoLongerAdminError
    if account.generation != user.generation:
        raise NoLongerAdminError


def transaction_of(
    actor: User | None,
    parts: Parts,
    work: Callable[Concatenate[Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run *work* in a transaction that holds the admin who acts; None for the operator.

    Raises:
        NoLongerAdminError: The actor is no admin any more.
    """

    def held(tx: Connection) -> T:
        if actor is not None:
            hold_admin(tx, parts, actor)
        return work(tx, *args, **kwargs)

    return parts.database.transaction(held)
