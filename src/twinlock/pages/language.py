"""``/language``: choosing a language, for this browser and for the account."""

from datetime import timedelta
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.core.languages import LANGUAGES
from twinlock.flows.account import ProfileChange
from twinlock.pages import cookies
from twinlock.pages.forms import (
    Form,
    StaleFormError,
    form_secret,
    form_token,
    has_form_token,
    keep_form_secret,
)
from twinlock.pages.paths import HOME, own_path
from twinlock.pages.replies import see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import has_csrf_token, signed_in
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/language")

_KEPT: Final = timedelta(days=365)


@pages.get("")
async def show_languages(request: Request, runtime: Running) -> HTMLResponse:
    """List the languages, each in its own words."""
    there = own_path(request.query_params.get("next"))
    visitor = await signed_in(request)
    secret = form_secret(request)
    csrf = visitor.csrf if visitor else form_token(runtime, secret)
    response = page(
        request,
        "language/choose.html",
        csrf=csrf,
        next=there or "",
        languages=LANGUAGES,
        back=there or runtime.prefix + HOME,
    )
    if visitor is None:
        keep_form_secret(response, secret)
    return response


@pages.post("")
async def choose(
    request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Keep the choice in this browser and, signed in, with the account."""
    visitor = await signed_in(request)
    if visitor is None and not has_form_token(request, form):
        raise StaleFormError
    if visitor is not None and not has_csrf_token(request, form, visitor):
        raise StaleFormError
    response = see_other(own_path(form.text("next")) or runtime.prefix + HOME)
    language = form.text("language")
    if language in LANGUAGES:
        cookies.give(response, cookies.LANGUAGE, language, max_age=_KEPT)
        if visitor is not None:
            change = ProfileChange(language=language)
            await runtime.workers.run(
                runtime.account.change_profile, visitor.user, change, caller, now=now
            )
    return response
