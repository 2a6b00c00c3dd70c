"""Adds the pages to an application."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from twinlock.core.languages import SOURCE
from twinlock.pages import (
    account,
    devices,
    enrollment,
    events,
    factors,
    invitations,
    language,
    login,
    logout,
    not_me,
    passkey,
    reauthenticate,
    recovery,
    recovery_codes,
    registration,
    sessions,
    static,
)
from twinlock.pages.admin import account as admin_account
from twinlock.pages.admin import accounts as admin_accounts
from twinlock.pages.admin import actions as admin_actions
from twinlock.pages.admin import events as admin_events
from twinlock.pages.admin import invitations as admin_invitations
from twinlock.pages.admin import keys as admin_keys
from twinlock.pages.admin import mail as admin_mail
from twinlock.pages.admin import overview as admin_overview
from twinlock.pages.admin import policies as admin_policies
from twinlock.pages.assets import Assets
from twinlock.pages.routes import HEADERS, error_page
from twinlock.pages.shown import STATE, Pages
from twinlock.sessions.policy import Lifetimes
from twinlock.web.headers import with_missing

_MODULES = (
    login,
    logout,
    passkey,
    enrollment,
    account,
    recovery_codes,
    factors,
    reauthenticate,
    recovery,
    invitations,
    registration,
    sessions,
    devices,
    events,
    not_me,
    language,
    static,
    admin_overview,
    admin_accounts,
    admin_invitations,
    admin_account,
    admin_actions,
    admin_policies,
    admin_events,
    admin_keys,
    admin_mail,
)


def install_pages(
    app: FastAPI,
    *,
    service: str,
    least_password: int,
    lifetimes: Lifetimes,
    contact: str | None = None,
    default_language: str = SOURCE,
    prefix: str = "",
    templates: Path | None = None,
    stylesheet: Path | None = None,
    logo: Path | None = None,
) -> None:
    """Give *app* pages for people, beside the API that it already has.

    Args:
        least_password: Characters that a new password has at least.
        lifetimes: What pages say of how long something lasts.
        contact: Where people get help: an address, a number, a page.
        default_language: For browsers that ask for none of ours.
        templates: A folder whose templates stand in for ours of the same name.
        stylesheet: Follows our own, and may set any token anew.
        logo: Stands in the place of the mark; at most 36 pixels high.

    Raises:
        OSError: A file cannot be read.
    """
    assets = Assets(stylesheet=stylesheet, logo=logo)
    rendered = Pages(
        service,
        assets,
        least_password=least_password,
        lifetimes=lifetimes,
        contact=contact,
        default_language=default_language,
        overrides=templates,
        prefix=prefix,
    )
    setattr(app.state, STATE, rendered)
    for module in _MODULES:
        app.include_router(module.pages, prefix=prefix)
    _show_missing_pages(app)


def _show_missing_pages(app: FastAPI) -> None:
    """Let a browser that asks for a page that is not there see one that says so."""
    otherwise = app.exception_handlers[HTTPException]

    async def answer(request: Request, error: Exception) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "")
        is_page = wants_page and not request.url.path.startswith("/api/")
        if not is_page or not isinstance(error, HTTPException) or error.status_code != 404:
            answered = otherwise(request, error)
            return answered if isinstance(answered, Response) else await answered
        response = error_page(request, error)
        response.raw_headers[:] = with_missing(response.raw_headers, HEADERS)
        return response

    app.add_exception_handler(HTTPException, answer)
