"""The same route with Twinlock in front of it, in the three ways that there are, and beside it."""

from fastapi import FastAPI, Request

from benchmarks.apps import bare
from benchmarks.apps.bare import UserOut
from twinlock.app import Twinlock
from twinlock.core.principal import User
from twinlock.web.guard import CurrentUser, require
from twinlock.web.layer import ForwardAuth, GuardLayer

auth = Twinlock()


def _out(user: User) -> UserOut:
    return UserOut(
        username=user.username,
        email=user.email,
        full_name=user.full_name,
        disabled=user.disabled,
    )


app = FastAPI()
auth.install(app)


@app.get("/me")
async def read_me(user: CurrentUser) -> UserOut:
    return _out(user)


@app.get("/strict", dependencies=[require(acr="aal2")])
async def read_me_strictly(user: CurrentUser) -> UserOut:
    return _out(user)


beside = FastAPI()
auth.install(beside)
beside.get("/me")(bare.read_me)


inside = FastAPI()


@inside.get("/me")
async def read_me_behind_the_layer(request: Request) -> UserOut:
    return _out(request.scope["twinlock.user"])


@inside.get("/both")
async def read_me_behind_the_layer_with_a_dependency(user: CurrentUser) -> UserOut:
    return _out(user)


layered = ForwardAuth(GuardLayer(inside, auth), auth)
