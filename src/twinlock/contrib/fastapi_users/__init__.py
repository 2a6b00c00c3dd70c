"""A drop-in for fastapi-users: its login router and strategies, with second factors.

router      checks the password, asks for the second factor, opens a session of ours
strategies  wrap the host's own (JWT, database, Redis): write its token together with the
            session, under a MAC, and read it only while that session lives
users       says where the host's users are, and carries password, e-mail and deletion over from
            the ``UserManager``
"""

from twinlock.contrib.fastapi_users.router import get_auth_router, require
from twinlock.contrib.fastapi_users.strategies import TwinlockStrategy, protected
from twinlock.contrib.fastapi_users.users import UserManagerHooks, users_directory

__all__ = [
    "TwinlockStrategy",
    "UserManagerHooks",
    "get_auth_router",
    "protected",
    "require",
    "users_directory",
]
