"""After: the same routes, users and phones, with Twinlock behind them."""

from fastapi import FastAPI

from twinlock import CurrentUser, Twinlock

app = FastAPI()
auth = Twinlock()
auth.install(app)  # /token, /users/me, /api/…


@app.get("/users/me/items")
async def read_own_items(user: CurrentUser) -> list[dict[str, str]]:
    return [{"item_id": "Foo", "owner": user.username}]
