"""Where the host's users are, and what its ``UserManager`` tells of them."""

from typing import TYPE_CHECKING, Any

from fastapi import Request

from twinlock.app import Twinlock
from twinlock.contrib.sqlalchemy import SqlAlchemyDirectory

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine


def users_directory(bind: "Engine | AsyncEngine | str", user: type[Any]) -> SqlAlchemyDirectory:
    """Return a directory over the ``User`` table of fastapi-users' SQLAlchemy adapter.

    People sign in with their e-mail address, in any case. Outdated hashes are replaced, as
    fastapi-users does it; it reads Argon2id.

    Args:
        bind: The host's engine, or the URL of its database.
        user: The declarative class.
    """
    return SqlAlchemyDirectory(
        bind,
        user,
        {
            "id": "id",
            "username": "email",
            "email": "email",
            "password_hash": "hashed_password",
            "active": "is_active",
        },
        ignores_case=True,
        upgrades_hashes=True,
    )


class UserManagerHooks:
    """Tells us of changed passwords and addresses, and of deleted users.

    Put it before ``BaseUserManager`` among the bases of your ``UserManager``, and name the
    instance: ``twinlock = auth``. Who overrides one of these calls it.
    """

    twinlock: Twinlock

    async def on_after_update(
        self, user: Any, update_dict: dict[str, Any], request: Request | None = None
    ) -> None:
        """Have the user looked at again; a new password ends every session."""
        await self.twinlock.changed(user.id, password="password" in update_dict)

    async def on_after_reset_password(self, user: Any, request: Request | None = None) -> None:
        """End every session; second factors stay."""
        await self.twinlock.changed(user.id, password=True)

    async def on_after_delete(self, user: Any, request: Request | None = None) -> None:
        """Close what belongs to the user."""
        await self.twinlock.forget(user.id)
