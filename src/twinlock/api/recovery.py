"""``/api/recovery``: ways back in, and what mailed links do. Nothing here signs anybody in."""

from typing import Annotated, Literal, Self

from fastapi import Response
from pydantic import BaseModel, Field, StringConstraints, model_validator

from twinlock.api.bodies import Name, Password
from twinlock.api.responses import SIGN_IN_PROBLEMS
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.web.deps import OWN_SITE, From, Now, Running
from twinlock.web.password_recovery import recover_password
from twinlock.web.problems import refusal, too_many_tries
from twinlock.web.routes import router

api = router(
    prefix="/recovery", tags=["recovery"], dependencies=[OWN_SITE], responses=SIGN_IN_PROBLEMS
)

LinkToken = Annotated[
    str,
    StringConstraints(max_length=128),
    Field(repr=False, description="The last segment of the link in the mail."),
]


class ForgottenIn(BaseModel):
    """Whose password is forgotten: a username or an e-mail address."""

    username: Name | None = None
    email: Name | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.username is None) == (self.email is None):
            raise ValueError("give either username or email")
        return self

    @property
    def name(self) -> str:
        """What to look for."""
        return self.username if self.username is not None else self.email or ""


class AcceptedOut(BaseModel):
    """The request was taken, which tells nothing: a mail follows only where there is reason."""

    status: Literal["accepted"] = "accepted"


class NewPasswordIn(BaseModel):
    """A link's token and the password to come."""

    token: LinkToken
    password: Password


class TokenIn(BaseModel):
    """A link's token."""

    token: LinkToken


class DoneOut(BaseModel):
    """What was done. Sign in to go on."""

    status: Literal[
        "password_changed", "email_changed", "email_change_cancelled", "factor_reset_cancelled"
    ]


@api.post("/password", response_model=AcceptedOut, status_code=202)
async def ask_for_password_link(
    body: ForgottenIn, runtime: Running, caller: From, now: Now
) -> AcceptedOut | Response:
    """Ask for a link to set a new password; the answer is the same for every name."""
    asked = await runtime.workers.run(runtime.recovery.ask, body.name, caller, now=now)
    return too_many_tries(asked) if isinstance(asked, Throttled) else AcceptedOut()


@api.post("/password/confirm", response_model=DoneOut)
async def set_forgotten_password(
    body: NewPasswordIn, runtime: Running, caller: From, now: Now
) -> DoneOut | Response:
    """Set the password of a link, once; every session ends and second factors stay."""
    done = await recover_password(runtime, body.token, body.password, caller, now=now)
    return refusal(done) if isinstance(done, Refused) else DoneOut(status="password_changed")


@api.post("/email/confirm", response_model=DoneOut)
async def confirm_email(
    body: TokenIn, runtime: Running, caller: From, now: Now
) -> DoneOut | Response:
    """Put the e-mail address of a link in force, once; every session ends."""
    done = await runtime.workers.run(runtime.email_change.confirm, body.token, caller, now=now)
    return refusal(done) if isinstance(done, Refused) else DoneOut(status="email_changed")


@api.post("/email/cancel", response_model=DoneOut)
async def cancel_email_change(
    body: TokenIn, runtime: Running, caller: From, now: Now
) -> DoneOut | Response:
    """Void a change of the e-mail address that is not in force yet."""
    done = await runtime.workers.run(runtime.email_change.cancel, body.token, caller, now=now)
    return refusal(done) if isinstance(done, Refused) else DoneOut(status="email_change_cancelled")


@api.post("/factors/cancel", response_model=DoneOut)
async def cancel_factor_reset(
    body: TokenIn, runtime: Running, caller: From, now: Now
) -> DoneOut | Response:
    """Call off a reset of one's factors that an admin asked for."""
    done = await runtime.workers.run(runtime.factor_resets.stop, body.token, caller, now=now)
    return refusal(done) if isinstance(done, Refused) else DoneOut(status="factor_reset_cancelled")
