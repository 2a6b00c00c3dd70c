"""``/logout``: the way out of a session or of a login that waits, and out of a device's memory."""

from datetime import datetime

from fastapi import Request, Response

from twinlock.pages.enrollment import Waiting
from twinlock.pages.forms import (
    Form,
    StaleFormError,
    form_secret,
    form_token,
    has_form_token,
    keep_form_secret,
)
from twinlock.pages.login import Begun
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import Acting, signed_in
from twinlock.pages.waiting import forget_waiting, waiting_handles
from twinlock.web.cookies import clear_device, clear_session
from twinlock.web.deps import From, Now, Running, TrustedDevice
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/logout")


@pages.get("")
async def show_way_out(request: Request, runtime: Running, device: TrustedDevice) -> Response:
    """Ask somebody who is signed in, and tell others that they are not; looking changes nothing."""
    is_remembered = device is not None
    visitor = await signed_in(request)
    if visitor is not None:
        return page(request, "logout/ask.html", csrf=visitor.csrf, is_remembered=is_remembered)
    secret = form_secret(request)
    csrf = form_token(runtime, secret)
    is_waiting = bool(waiting_handles(request))
    if is_waiting:
        response = page(request, "logout/give_up.html", csrf=csrf, back=_back(request, runtime))
    else:
        response = page(request, "logout/signed_out.html", csrf=csrf, is_remembered=is_remembered)
    if is_waiting or is_remembered:
        keep_form_secret(response, secret)
    return response


@pages.post("")
async def sign_out(
    visitor: Acting,
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    device: TrustedDevice,
    now: Now,
) -> Response:
    """End this session, and a login that this browser has begun; forget the device if asked."""
    await _give_up(request, runtime, now=now)
    await runtime.workers.run(runtime.sessions.sign_out, visitor.user, caller, now=now)
    forgets = device is not None and form.text("forget_device") == "yes"
    if device is not None and forgets:
        await runtime.workers.run(runtime.devices.forget, device, caller, now=now)
    note = "device_forgotten" if forgets else None
    response = see_other(f"{runtime.prefix}/logout", note=note)
    clear_session(response)
    if forgets:
        clear_device(response)
    return forget_waiting(response)


@pages.post("/login")
async def give_up(request: Request, form: Form, runtime: Running, now: Now) -> Response:
    """Void the logins that wait in this browser: whoever comes next has to begin again."""
    if not has_form_token(request, form):
        raise StaleFormError
    await _give_up(request, runtime, now=now)
    return forget_waiting(see_other(f"{runtime.prefix}/logout", note="given_up"))


@pages.post("/device")
async def forget_device(
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    device: TrustedDevice,
    now: Now,
) -> Response:
    """Trust this browser no more, after its owner has signed out; its own cookie is the proof."""
    if not has_form_token(request, form):
        raise StaleFormError
    if device is not None:
        await runtime.workers.run(runtime.devices.forget, device, caller, now=now)
    response = see_other(f"{runtime.prefix}/logout", note="device_forgotten")
    clear_device(response)
    return response


async def _give_up(request: Request, runtime: Runtime, *, now: datetime) -> None:
    if handles := waiting_handles(request):
        await runtime.workers.run(runtime.answering.give_up, handles, now=now)


def _back(request: Request, runtime: Runtime) -> str:
    """Return where a login that waits goes on."""
    begun = Begun.of(request)
    if Waiting.of(request) is None and begun is not None and begun.methods:
        return f"{runtime.prefix}/login/{begun.methods[0]}"
    return f"{runtime.prefix}/enrollment"
