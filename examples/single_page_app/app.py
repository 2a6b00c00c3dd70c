"""A single-page app that keeps its session in a cookie, where no script can read it."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, PositiveInt

from twinlock import CurrentUser, Twinlock, User, require

STATIC = Path(__file__).parent / "static"
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; "  # the QR code of an enrollment
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
FILES = {path.name: path for path in STATIC.iterdir()}

app = FastAPI()
auth = Twinlock()
auth.install(app)

balances: dict[str, int] = {}


class Transfer(BaseModel):
    amount: PositiveInt


@app.get("/balance")
async def balance(user: CurrentUser) -> dict[str, int]:
    return {"balance": balances.get(user.id, 100)}


@app.post("/transfers")
async def transfer(
    sent: Transfer,
    user: Annotated[User, require(acr="aal2", max_age=timedelta(minutes=5))],
) -> dict[str, int]:
    balances[user.id] = balances.get(user.id, 100) - sent.amount
    return {"balance": balances[user.id]}


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(STATIC / "index.html", headers=PAGE_HEADERS)


@app.get("/static/{name}", include_in_schema=False)
async def static(name: str) -> FileResponse:
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(FILES[name], headers=PAGE_HEADERS)
