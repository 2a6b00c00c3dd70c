"""What an admin can do to an account, as it is now."""

from enum import StrEnum
from typing import Final

from twinlock.core.principal import ADMIN, User
from twinlock.flows.overview import Overview


class Action(StrEnum):
    """What can be done to an account, the mildest first."""

    UNLOCK = "unlock"
    END_SESSIONS = "end_sessions"
    CANCEL_RESET = "cancel_reset"
    APPROVE_RESET = "approve_reset"
    RESET = "reset"
    ROLES = "roles"
    ENABLE = "enable"
    DISABLE = "disable"
    DELETE = "delete"


NOTES: Final = {
    Action.UNLOCK: "account_unlocked",
    Action.END_SESSIONS: "account_signed_out",
    Action.CANCEL_RESET: "reset_cancelled",
    Action.APPROVE_RESET: "reset_approved",
    Action.RESET: "reset_requested",
    Action.ROLES: "roles_set",
    Action.ENABLE: "account_enabled",
    Action.DISABLE: "account_disabled",
    Action.DELETE: "account_deleted",
}


def offered(found: Overview, admin: User) -> list[Action]:
    """Return what *admin* can do to an account as it is; nothing to the own one."""
    account, reset = found.account, found.reset
    if account.subject == admin.id:
        return []
    can = {Action.UNLOCK, Action.ROLES, Action.DELETE}
    can.add(Action.ENABLE if account.is_disabled else Action.DISABLE)
    if found.sessions:
        can.add(Action.END_SESSIONS)
    if reset is None:
        can.add(Action.RESET)
    else:
        can.add(Action.CANCEL_RESET)
        if ADMIN in account.roles and reset.approved_by is None and reset.requested_by != admin.id:
            can.add(Action.APPROVE_RESET)
    return [action for action in Action if action in can]
