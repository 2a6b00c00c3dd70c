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
    NAME = "name"
    EMAIL = "email"
    CANCEL_EMAIL = "cancel_email"
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
    Action.NAME: "name_set",
    Action.EMAIL: "email_requested",
    Action.CANCEL_EMAIL: "email_cancelled",
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
    can = {Action.UNLOCK, Action.NAME, Action.ROLES, Action.DELETE}
    can.add(Action.EMAIL if found.new_email is None else Action.CANCEL_EMAIL)
    can.add(Action.ENABLE if account.is_disabled else Action.DISABLE)
    if found.sessions:
        can.add(Action.END_SESSIONS)
    if reset is None:
        can.add(Action.RESET)
    else:
        can.add(Action.CANCEL_RESET)
        if ADMIN in account.roles and reset.approved_by is None and not _is_asker(found, admin):
            can.add(Action.APPROVE_RESET)
    return [action for action in Action if action in can]


def withheld(found: Overview, admin: User) -> list[Action]:
    """Return what another admin has to do: two must agree, and *admin* is one of them already."""
    reset = found.reset
    if reset is None or reset.approved_by is not None or ADMIN not in found.account.roles:
        return []
    return [Action.APPROVE_RESET] if _is_asker(found, admin) else []


def _is_asker(found: Overview, admin: User) -> bool:
    return found.reset is not None and found.reset.requested_by == admin.id
