"""``/api/registration``: an account of one's own, where that is switched on."""

from fastapi import Response
from pydantic import BaseModel

from twinlock.api.bodies import FullName, Name, Password
from twinlock.api.invitations import WelcomedOut, switched_off
from twinlock.api.recovery import AcceptedOut, LinkToken
from twinlock.api.responses import SIGN_IN_PROBLEMS
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.registration import Applicant
from twinlock.web.deps import OWN_SITE, From, Now, Running
from twinlock.web.first_password import register
from twinlock.web.problems import refusal
from twinlock.web.routes import router

api = router(
    prefix="/registration", tags=["recovery"], dependencies=[OWN_SITE], responses=SIGN_IN_PROBLEMS
)


class RegistrationIn(BaseModel):
    """The address that is to have an account."""

    email: Name


class NewAccountIn(BaseModel):
    """A link's token, and the names and password of the account to be made."""

    token: LinkToken
    username: Name
    full_name: FullName | None = None
    password: Password


@api.post("", response_model=AcceptedOut, status_code=202)
async def ask_to_register(
    body: RegistrationIn, runtime: Running, caller: From, now: Now
) -> AcceptedOut | Response:
    """Ask for a link; the answer is the same for every address, and a mail follows either way."""
    if not runtime.registration.is_enabled:
        return switched_off()
    asked = await runtime.workers.run(runtime.registration.ask, body.email, caller, now=now)
    return refusal(asked) if isinstance(asked, Refused | Throttled) else AcceptedOut()


@api.post("/confirm", response_model=WelcomedOut, status_code=201)
async def make_account(
    body: NewAccountIn, runtime: Running, caller: From, now: Now
) -> WelcomedOut | Response:
    """Make the account of a link, once; its address is verified by it."""
    if not runtime.registration.is_enabled:
        return switched_off()
    applicant = Applicant(body.username, body.full_name)
    done = await register(runtime, body.token, applicant, body.password, caller, now=now)
    return refusal(done) if isinstance(done, Refused) else WelcomedOut.told(done)
