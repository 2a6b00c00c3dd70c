"""An application whose tests need nobody to sign in."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI

from twinlock import CurrentUser, Twinlock, User, require


def create_app(auth: Twinlock | None = None) -> FastAPI:
    app = FastAPI()
    (auth or Twinlock()).install(app)

    @app.get("/items")
    async def items(user: CurrentUser) -> list[str]:
        return [f"an item of {user.username}"]

    @app.post("/transfer")
    async def transfer(
        user: Annotated[User, require(acr="aal2", max_age=timedelta(minutes=5))],
    ) -> str:
        return user.username

    return app
