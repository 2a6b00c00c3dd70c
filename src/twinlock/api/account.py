"""``/api/account``: the own profile and password."""

from datetime import datetime

from fastapi import Response
from pydantic import BaseModel, model_validator

from twinlock.accounts.directory import Account
from twinlock.api.bodies import FullName, Name, Password, SignedInOut
from twinlock.api.responses import SIGNED_IN_PROBLEMS, with_cookies
from twinlock.core.languages import Language
from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.flows.account import ProfileChange
from twinlock.flows.outcomes import Denied, Refused, SignedIn
from twinlock.web.deps import From, Now, Running, SameTransport, SessionCookie
from twinlock.web.guard import OwnUser
from twinlock.web.password_change import change_password
from twinlock.web.problems import invalid_token, refusal
from twinlock.web.routes import router

api = router(prefix="/account", tags=["account"], responses=SIGNED_IN_PROBLEMS)


class AccountOut(BaseModel):
    """The own account, and how this session is signed in."""

    id: str
    username: str
    email: str | None
    email_verified: bool
    full_name: str | None
    language: str | None
    roles: list[str]
    created_at: datetime
    must_change_password: bool
    acr: Acr
    amr: list[str]
    auth_time: datetime
    csrf_token: str | None = None

    @classmethod
    def of(cls, account: Account, user: User, csrf_token: str | None) -> "AccountOut":
        """Translate."""
        return cls(
            id=account.subject,
            username=account.username,
            email=account.email,
            email_verified=account.is_email_verified,
            full_name=account.full_name,
            language=account.language,
            roles=list(account.roles),
            created_at=account.created_at,
            must_change_password=account.must_change_password,
            acr=user.acr,
            amr=list(user.amr),
            auth_time=user.auth_time,
            csrf_token=csrf_token,
        )


class ProfileIn(BaseModel):
    """What may be changed without further proof; what is left out stays as it is."""

    full_name: FullName | None = None
    language: Language | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "ProfileIn":
        if not self.model_fields_set:
            raise ValueError("Nothing is to be changed.")
        return self

    def changes(self) -> ProfileChange:
        """Tell what is given."""
        return ProfileChange(**{name: getattr(self, name) for name in self.model_fields_set})


class EmailIn(BaseModel):
    """The e-mail address to come."""

    email: Name


class PasswordIn(BaseModel):
    """The current password and the one to come (ASVS 5.0 6.2.3)."""

    current_password: Password
    new_password: Password


@api.get("", response_model=AccountOut)
async def read_account(
    user: OwnUser, runtime: Running, cookie: SessionCookie
) -> AccountOut | Response:
    """Return the own account; a browser finds its CSRF token here again after a reload."""
    account = await runtime.workers.run(runtime.account.get_account, user)
    if account is None:
        return invalid_token().response()
    return AccountOut.of(account, user, runtime.opening.csrf_token(cookie) if cookie else None)


@api.patch("", response_model=AccountOut)
async def change_profile(
    body: ProfileIn,
    user: OwnUser,
    runtime: Running,
    caller: From,
    cookie: SessionCookie,
    now: Now,
) -> AccountOut | Response:
    """Change the full name, and the language of pages and mails."""
    changed = await runtime.workers.run(
        runtime.account.change_profile, user, body.changes(), caller, now=now
    )
    if isinstance(changed, Denied | Refused):
        return refusal(changed)
    return AccountOut.of(changed, user, runtime.opening.csrf_token(cookie) if cookie else None)


@api.post("/password", response_model=SignedInOut)
async def set_password(
    body: PasswordIn,
    user: OwnUser,
    runtime: Running,
    caller: From,
    transport: SameTransport,
    now: Now,
) -> Response:
    """Change the password; every session ends, and this one is replaced."""
    done = await change_password(
        runtime, user, body.current_password, body.new_password, caller, transport, now=now
    )
    if isinstance(done, SignedIn):
        return with_cookies(runtime, SignedInOut.of(done), done)
    return refusal(done)


@api.post("/email", response_model=SignedInOut)
async def change_email(
    body: EmailIn,
    user: OwnUser,
    runtime: Running,
    caller: From,
    transport: SameTransport,
    now: Now,
) -> Response:
    """Begin a change of the e-mail address, in force when the new mailbox confirms it."""
    done = await runtime.workers.run(
        runtime.email_change.begin, user, body.email, caller, transport=transport, now=now
    )
    if isinstance(done, SignedIn):
        return with_cookies(runtime, SignedInOut.of(done), done)
    return refusal(done)
