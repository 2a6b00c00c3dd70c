"""``/api/invitations``: accept one. It opens nothing but the enrollment of a first factor."""

from fastapi import Response
from pydantic import BaseModel

from twinlock.api.bodies import Password
from twinlock.api.login import EnrollmentRequiredOut
from twinlock.api.recovery import LinkToken
from twinlock.api.responses import SIGN_IN_PROBLEMS
from twinlock.flows.first_password import Welcomed
from twinlock.flows.outcomes import Refused
from twinlock.web.deps import OWN_SITE, From, Now, Running
from twinlock.web.first_password import accept_invitation
from twinlock.web.problems import problem, refusal
from twinlock.web.routes import router

api = router(
    prefix="/invitations", tags=["recovery"], dependencies=[OWN_SITE], responses=SIGN_IN_PROBLEMS
)


class AcceptIn(BaseModel):
    """A link's token and the first password."""

    token: LinkToken
    password: Password


class WelcomedOut(EnrollmentRequiredOut):
    """The password counts; a first factor may be enrolled at ``/api/enrollment/{method}``.

    ``demanded`` says whether a policy lets nobody in without; else signing in will do.
    """

    username: str
    demanded: bool

    @classmethod
    def told(cls, welcomed: Welcomed) -> "WelcomedOut":
        """Translate."""
        login = welcomed.login
        return cls(
            login=login.handle or "",
            expires_in=int(login.expires_in.total_seconds()),
            methods=list(login.methods),
            link_required=False,
            username=welcomed.username,
            demanded=welcomed.is_demanded,
        )


def switched_off() -> Response:
    """Return what is said where something is switched off: that it is not there."""
    return problem(404, "not_found", "There is nothing here.")


@api.post("/confirm", response_model=WelcomedOut)
async def accept(
    body: AcceptIn, runtime: Running, caller: From, now: Now
) -> WelcomedOut | Response:
    """Accept an invitation, once: choose the password; the address is verified by it."""
    if not runtime.invitations.is_enabled:
        return switched_off()
    done = await accept_invitation(runtime, body.token, body.password, caller, now=now)
    return refusal(done) if isinstance(done, Refused) else WelcomedOut.told(done)
