"""``/logout``: the way out, which can lead a remembered device out of memory as well."""

from fastapi import Request, Response

from twinlock.pages import cookies
from twinlock.pages.forms import (
    Form,
    StaleFormError,
    form_secret,
    form_token,
    has_form_token,
    keep_form_secret,
)
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import Acting, signed_in
from twinlock.web.cookies import clear_device, clear_session
from twinlock.web.deps import From, Now, Running, TrustedDevice

pages = page_router(prefix="/logout")


@pages.get("")
async def show_way_out(request: Request, runtime: Running, device: TrustedDevice) -> Response:
    """Ask whoever is signed in; say to others that nobody is. Nothing changes by looking."""
    is_remembered = device is not None
    visitor = await signed_in(request)
    if visitor is not None:
        return page(request, "logout/ask.html", csrf=visitor.csrf, is_remembered=is_remembered)
    secret = form_secret(request)
    response = page(
        request,
        "logout/signed_out.html",
        csrf=form_token(runtime, secret),
        is_remembered=is_remembered,
    )
    if is_remembered:
        keep_form_secret(response, secret)
    return response


@pages.post("")
async def sign_out(
    visitor: Acting, form: Form, runtime: Running, caller: From, device: TrustedDevice, now: Now
) -> Response:
    """End this session, and a login that this browser has begun; forget the device if asked."""
    await runtime.workers.run(runtime.sessions.sign_out, visitor.user, caller, now=now)
    forgets = device is not None and form.text("forget_device") == "yes"
    if device is not None and forgets:
        await runtime.workers.run(runtime.devices.forget, device, caller, now=now)
    note = "device_forgotten" if forgets else None
    response = see_other(f"{runtime.prefix}/logout", note=note)
    clear_session(response)
    cookies.forget(response, cookies.LOGIN)
    if forgets:
        clear_device(response)
    return response


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
