"""``/admin/keys``: the keys that sign access tokens, and the master keys over everything."""

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.attention import ROTATE_AFTER
from twinlock.pages.admin.admitted import ActingAdmin, Admin
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import SeeOtherError
from twinlock.tokens.signing_keys import StoredKey
from twinlock.web.acting import acting, run_as_admin
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/admin/keys")


@pages.get("")
async def show_keys(admin: Admin, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Show every key with its age; never more of one than its name."""
    keys = await runtime.workers.run(runtime.keys.list_keys)
    return page(
        request,
        "admin/keys.html",
        visitor=admin,
        here="keys",
        keys=keys,
        master_keys=runtime.parts.keyring.ids,
        rotate_after=ROTATE_AFTER,
        now=now,
    )


@pages.get("/rotate")
async def ask_to_rotate(admin: Admin, request: Request, runtime: Running) -> HTMLResponse:
    """Say what follows from a new key."""
    active = next((key for key in await _keys(runtime) if key.active), None)
    return page(
        request,
        "admin/key_rotate.html",
        visitor=admin,
        here="keys",
        active=active,
        minutes=int(runtime.parts.lifetimes.access_token.total_seconds() // 60),
    )


@pages.post("/rotate")
async def rotate(admin: ActingAdmin, runtime: Running, caller: From, now: Now) -> Response:
    """Sign with a new key from now on."""
    by = acting(admin.user, caller)
    await run_as_admin(runtime, runtime.keys.rotate, by, admin=admin.user, now=now)
    return see_other(f"{runtime.prefix}/admin/keys", note="key_rotated")


@pages.get("/{kid}/retire")
async def ask_to_retire(kid: str, admin: Admin, request: Request, runtime: Running) -> HTMLResponse:
    """Say what follows from refusing a key's tokens."""
    key = next((one for one in await _keys(runtime) if one.kid == kid), None)
    if key is None:
        raise ProblemError(404, "not_found", "There is no such key.")
    if key.active or key.retired_at is not None:
        raise SeeOtherError(f"{runtime.prefix}/admin/keys")
    return page(request, "admin/key_retire.html", visitor=admin, here="keys", key=key)


@pages.post("/{kid}/retire")
async def retire(
    kid: str, admin: ActingAdmin, runtime: Running, caller: From, now: Now
) -> Response:
    """Accept a key's tokens no longer; one that signs stays, and so the list shows."""
    by = acting(admin.user, caller)
    done = await run_as_admin(runtime, runtime.keys.retire, kid, by, admin=admin.user, now=now)
    return see_other(f"{runtime.prefix}/admin/keys", note="key_retired" if done else None)


async def _keys(runtime: Runtime) -> list[StoredKey]:
    return await runtime.workers.run(runtime.keys.list_keys)
