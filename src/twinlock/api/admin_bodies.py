"""Bodies of ``/api/admin``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Row

from twinlock.accounts.directory import Account
from twinlock.accounts.email_changes.store import StagedEmail
from twinlock.accounts.resets.store import StagedReset
from twinlock.api.bodies import FullName, printable
from twinlock.api.events import EventOut
from twinlock.core.keyring import DigestKey
from twinlock.core.principal import ADMIN
from twinlock.core.proof import Acr
from twinlock.factors.authenticators.store import Authenticator
from twinlock.flows.outcomes import Refused
from twinlock.sessions.policy import Session

SearchText = Annotated[
    str, StringConstraints(min_length=1, max_length=320), AfterValidator(printable)
]
Role = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(printable)]
Roles = Annotated[list[Role], Field(max_length=32)]
Typed = Annotated[str, StringConstraints(max_length=1024)]


class CreateUserIn(BaseModel):
    """An account to be made. A password is refused: its owner chooses one."""

    model_config = ConfigDict(extra="forbid")

    username: Typed
    email: Typed | None = None
    full_name: FullName | None = None
    roles: Roles = []


class PatchUserIn(BaseModel):
    """What is to change; what is left out stays. Anything else is refused."""

    model_config = ConfigDict(extra="forbid")

    email: Typed | None = None
    full_name: FullName | None = None
    roles: Roles | None = None


class UserOut(BaseModel):
    """An account as an admin sees it."""

    id: str
    username: str
    email: str | None
    full_name: str | None
    roles: list[str]
    disabled: bool
    awaits_enrollment: bool
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> "UserOut":
        """Translate."""
        return cls(**_facts(account))


class UserListOut(BaseModel):
    """A page of accounts."""

    users: list[UserOut]
    next_cursor: str | None


class FactorResetOut(BaseModel):
    """A reset that waits."""

    requested_by: str
    requested_at: datetime
    due_at: datetime
    expires_at: datetime
    approval_required: bool
    approved_by: str | None

    @classmethod
    def of(cls, staged: StagedReset, account: Account) -> "FactorResetOut":
        """Translate."""
        return cls(
            requested_by=staged.requested_by,
            requested_at=staged.requested_at,
            due_at=staged.due_at,
            expires_at=staged.expires_at,
            approval_required=ADMIN in account.roles and staged.approved_by is None,
            approved_by=staged.approved_by,
        )


class EmailChangeOut(BaseModel):
    """Another e-mail address that waits."""

    email: str
    requested_by: str
    requested_at: datetime
    due_at: datetime

    @classmethod
    def of(cls, staged: StagedEmail) -> "EmailChangeOut":
        """Translate."""
        return cls(
            email=staged.email,
            requested_by=staged.requested_by,
            requested_at=staged.requested_at,
            due_at=staged.due_at,
        )


class ChangedUserOut(UserOut):
    """An account after a change, with the e-mail address that waits for it."""

    email_change: EmailChangeOut | None

    @classmethod
    def tell(cls, account: Account, staged: StagedEmail | None) -> "ChangedUserOut":
        """Translate."""
        waits = EmailChangeOut.of(staged) if staged else None
        return cls(**_facts(account), email_change=waits)


class UserFactorOut(BaseModel):
    """An authenticator of the account: what it is called, never what it holds."""

    id: str
    method: str
    label: str
    created_at: datetime
    last_used_at: datetime | None


class UserDetailsOut(UserOut):
    """An account with its factors; None where its seal is broken and they cannot be told."""

    factors: list[UserFactorOut] | None
    recovery_codes_left: int
    factor_reset: FactorResetOut | None
    email_change: EmailChangeOut | None

    @classmethod
    def tell(
        cls,
        account: Account,
        factors: Sequence[Authenticator] | Refused,
        codes_left: int,
        staged: StagedReset | None,
        email: StagedEmail | None,
    ) -> "UserDetailsOut":
        """Translate."""
        shown = None if isinstance(factors, Refused) else [_factor(one) for one in factors]
        return cls(
            **_facts(account),
            factors=shown,
            recovery_codes_left=codes_left,
            factor_reset=FactorResetOut.of(staged, account) if staged else None,
            email_change=EmailChangeOut.of(email) if email else None,
        )


class AdminSessionOut(BaseModel):
    """A session of the account."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    ip: str | None
    user_agent: str | None
    amr: list[str]
    acr: Acr

    @classmethod
    def of(cls, session: Session) -> "AdminSessionOut":
        """Translate."""
        return cls(
            id=session.id,
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            ip=session.ip,
            user_agent=session.user_agent,
            amr=list(session.amr),
            acr=session.acr,
        )


class AdminSessionListOut(BaseModel):
    """The account's sessions, the newest first."""

    sessions: list[AdminSessionOut]
    next_cursor: str | None


class AdminEventOut(EventOut):
    """Something that happened, whose it was, and who did it."""

    subject: str | None
    username: str | None
    actor: str | None

    @classmethod
    def tell(cls, row: Row[Any], usernames: Mapping[str, str], key: DigestKey) -> "AdminEventOut":
        """Translate."""
        own = EventOut.of(row, key).model_dump()
        username = usernames.get(row.subject_id) if row.subject_id else None
        return cls(**own, subject=row.subject_id, username=username, actor=row.actor)


class AdminEventListOut(BaseModel):
    """A page of events, the newest first."""

    events: list[AdminEventOut]
    next_cursor: str | None


def _facts(account: Account) -> dict[str, Any]:
    return {
        "id": account.subject,
        "username": account.username,
        "email": account.email,
        "full_name": account.full_name,
        "roles": list(account.roles),
        "disabled": account.is_disabled,
        "awaits_enrollment": account.awaits_enrollment,
        "created_at": account.created_at,
    }


def _factor(one: Authenticator) -> UserFactorOut:
    return UserFactorOut(
        id=one.id,
        method=one.method,
        label=one.label,
        created_at=one.created_at,
        last_used_at=one.last_used_at,
    )
