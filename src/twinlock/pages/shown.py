"""Turning an outcome into a page: templates, words, times and theme of one installation."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from babel.dates import format_datetime, format_skeleton, format_timedelta
from babel.numbers import format_decimal, format_percent
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from twinlock.core.languages import LANGUAGES, RIGHT_TO_LEFT, SOURCE
from twinlock.pages import activity, cookies, texts
from twinlock.pages.assets import Assets
from twinlock.pages.browsers import Device, device_of
from twinlock.pages.paths import own_path, with_query
from twinlock.sessions.policy import Lifetimes

TEMPLATES: Final = Path(__file__).with_name("templates")
STATE: Final = "twinlock_pages"
"""Where the application's state holds its `Pages`."""

_Unit = Literal["day", "hour", "minute", "second"]

VISITORS_LANGUAGE: Final = "twinlock_language"
"""Where a request's state holds the language of who is signed in, and of nobody else."""

NOTES: Final = {
    "signed_out_there": texts.mark("That session is signed out."),
    "signed_out_elsewhere": texts.mark("You are signed out everywhere else."),
    "password_changed": texts.mark(
        "Your password is changed, and you are signed out everywhere else."
    ),
    "renamed": texts.mark("The new name is saved."),
    "removed": texts.mark("The authenticator is removed, and you are signed out everywhere else."),
    "added": texts.mark("The authenticator is added, and you are signed out everywhere else."),
    "passkey_denied": texts.mark(
        "The passkey could not be checked. Try again, or sign in with your password."
    ),
    "device_forgotten": texts.mark("That device is forgotten."),
    "devices_forgotten": texts.mark("All devices are forgotten."),
    "link_kept": texts.mark(
        "Your link is kept in this browser. Sign in, and you set up your new second factor."
    ),
    "email_asked": texts.mark(
        "We sent a link to the new address. Until you open it, nothing changes."
    ),
    "given_up": texts.mark("This sign-in is stopped. Nothing was opened."),
    "codes_kept": texts.mark("Your recovery codes are in a safe place."),
    "account_unlocked": texts.mark("The account is unlocked."),
    "account_signed_out": texts.mark("The account is signed out everywhere."),
    "reset_cancelled": texts.mark("The reset is called off. Nothing was removed."),
    "reset_approved": texts.mark("The reset is approved."),
    "reset_requested": texts.mark("The reset waits for 24 hours now. You can call it off below."),
    "roles_set": texts.mark("The roles are set."),
    "name_set": texts.mark("The name is changed."),
    "email_requested": texts.mark(
        "The new address waits for 24 hours now. You can call it off below."
    ),
    "email_cancelled": texts.mark("The new address is called off. Nothing was changed."),
    "mail_again": texts.mark("It is tried again within seconds."),
    "mail_not_again": texts.mark(
        "That mail cannot be tried again: it left meanwhile, is being tried, or is too old."
    ),
    "invitation_sent": texts.mark("The invitation is on its way."),
    "invitation_revoked": texts.mark("The invitation is revoked. Its link opens nothing."),
    "account_enabled": texts.mark("The account is enabled."),
    "account_disabled": texts.mark("The account is disabled. You can enable it again below."),
    "account_deleted": texts.mark("The account is deleted."),
    "policy_set": texts.mark("The policy is set."),
    "policy_removed": texts.mark("The policy is removed."),
    "key_rotated": texts.mark("A new key signs from now on."),
    "key_retired": texts.mark("The key is retired. Its tokens are refused."),
}
"""What a page says of the change that led to it."""
_CODES_LEFT: Final = "codes_left."
_LAST: Final = texts.mark("That was your last recovery code. Make new ones now.")
_NEXT: Final = texts.mark("Is your phone lost? Add the new one below, then remove the old one.")
_FEW: Final = 3
ALARMS: Final = frozenset({"passkey_denied", "mail_not_again"})
"""Those of something that was denied."""


class Pages:
    """Renders the pages of one installation."""

    def __init__(
        self,
        service: str,
        assets: Assets,
        *,
        least_password: int,
        lifetimes: Lifetimes,
        contact: str | None = None,
        default_language: str = SOURCE,
        overrides: Path | None = None,
        prefix: str = "",
    ) -> None:
        """Prepare the templates.

        Args:
            least_password: Characters that a new password has at least.
            lifetimes: What pages say of how long something lasts.
            contact: Where people get help: an address, a number, a page.
            default_language: For browsers that ask for none of ours.
            overrides: A folder whose templates stand in for ours of the same name.
            prefix: What the paths of all pages begin with.
        """
        self.service = service
        self._prefix = prefix
        self.assets = assets
        self._least_password = least_password
        self._lifetimes = lifetimes
        self._contact = contact
        self._default_language = default_language
        own = FileSystemLoader(TEMPLATES)
        loader = ChoiceLoader([FileSystemLoader(overrides), own]) if overrides else own
        self._env = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.add_extension("jinja2.ext.i18n")
        # The extension adds this method; jinja2 has no type for it.
        install = getattr(self._env, "install_gettext_callables")  # noqa: B009
        install(_translate, _translate_number, newstyle=True)
        self._env.filters["moment"] = _moment
        self._env.filters["day"] = _day
        self._env.filters["date"] = _date
        self._env.filters["number"] = _number
        self._env.filters["percent"] = _percent
        self._env.filters["device"] = _device
        self._env.filters["means"] = activity.means
        self._env.filters["means_of"] = activity.means_of
        self._env.filters["lasting"] = _lasting
        self._env.filters["isolated"] = _isolated
        texts.catalogues()

    def language(self, request: Request) -> str:
        """Return the language that the account chose, or this browser's owner, or the browser."""
        for chosen in (
            getattr(request.state, VISITORS_LANGUAGE, None),
            cookies.read(request, cookies.LANGUAGE),
        ):
            if chosen in LANGUAGES:
                return str(chosen)
        accepted = request.headers.get("accept-language", "")
        return texts.language_for(accepted, otherwise=self._default_language)

    def page(
        self, request: Request, template: str, *, status: int = 200, **shown: Any
    ) -> HTMLResponse:
        """Return a page; the note that a redirect left is shown once."""
        language = self.language(request)
        note = cookies.read(request, cookies.NOTE)
        prefix = self._prefix
        is_signed_in = hasattr(request.state, VISITORS_LANGUAGE)
        body = self._env.get_template(template).render(
            {
                "service": self.service,
                "least": self._least_password,
                "lifetimes": self._lifetimes,
                "contact": self._contact,
                "language": language,
                "is_rtl": language in RIGHT_TO_LEFT,
                "language_name": LANGUAGES[language],
                "languages_path": with_query(f"{prefix}/language", next=_here(request)),
                "logo": self.assets.logo,
                "prefix": prefix,
                "asset": lambda name: f"{prefix}/static/{self.assets.names[name]}",
                "done": _said(note or "", language),
                "tone": _tone(note or ""),
                "wide": False,
                "error": None,
                "can_remember": False,
                "way_out": "session" if is_signed_in else "",
                **shown,
            }
        )
        response = HTMLResponse(body, status, headers={"Content-Language": language})
        if note is not None:
            cookies.forget(response, cookies.NOTE)
        return response


def codes_left_note(left: int) -> str:
    """Return the note that tells how many recovery codes are left."""
    return f"{_CODES_LEFT}{left}"


def _left(note: str) -> int | None:
    number = note.removeprefix(_CODES_LEFT)
    is_ours = number != note and number.isascii() and number.isdecimal()
    return int(number[:3]) if is_ours else None


def _said(note: str, language: str) -> str | None:
    """Return what a note tells; None for one that we do not know."""
    left, words = _left(note), texts.catalogues()[language]
    if left is None:
        return NOTES.get(note)
    if left == 0:
        return f"{words.gettext(_LAST)} {words.gettext(_NEXT)}"
    told = words.ngettext(
        "You have %(num)s recovery code left.", "You have %(num)s recovery codes left.", left
    )
    return f"{told % {'num': left}} {words.gettext(_NEXT)}"


def _tone(note: str) -> str:
    left = _left(note)
    if left is not None and left <= _FEW:
        return "warn"
    return "bad" if note in ALARMS else "good"


def _here(request: Request) -> str:
    """Return the path of a page that can be shown again; never one that is a mailed link's."""
    if "token" in request.path_params:
        return ""  # a query is what proxies write down
    query = f"?{request.url.query}" if request.url.query else ""
    return own_path(request.url.path + query) or "" if request.method == "GET" else ""


def pages_of(request: Request) -> Pages:
    """Return the pages of the application that answers."""
    pages: Pages = getattr(request.app.state, STATE)
    return pages


def page(request: Request, template: str, *, status: int = 200, **shown: Any) -> HTMLResponse:
    """Return a page of the application that answers."""
    return pages_of(request).page(request, template, status=status, **shown)


def safe_methods(offered: Sequence[str]) -> list[str]:
    """Return the methods that have a page, in the order in which people are asked for them."""
    return [
        method
        for method in ("passkey", "totp", "email_code", "recovery_codes")
        if method in offered
    ]


@pass_context
def _translate(context: Context, text: str) -> str:
    return texts.catalogues()[context["language"]].gettext(text)


@pass_context
def _translate_number(context: Context, one: str, many: str, number: int) -> str:
    return texts.catalogues()[context["language"]].ngettext(one, many, number)


@pass_context
def _moment(context: Context, moment: datetime) -> str:
    return f"{format_datetime(moment, 'medium', locale=context['language'])} UTC"


@pass_context
def _day(context: Context, day: date) -> str:
    return format_skeleton("MMMd", day, locale=context["language"])


@pass_context
def _date(context: Context, day: date) -> str:
    return format_skeleton("yMMMd", day, locale=context["language"])


@pass_context
def _number(context: Context, number: int) -> str:
    return format_decimal(number, locale=context["language"])


@pass_context
def _percent(context: Context, share: float, digits: int = 0) -> str:
    pattern = "#,##0" + ("." + "#" * digits if digits else "") + "%"
    return format_percent(share, format=pattern, locale=context["language"])


@pass_context
def _lasting(context: Context, time: timedelta) -> str:
    """Say how long it is in the largest unit of which it is whole."""
    total = int(time.total_seconds())
    unit: _Unit = "second"
    if total % 86_400 == 0:
        unit = "day"
    elif total % 3_600 == 0:
        unit = "hour"
    elif total % 60 == 0:
        unit = "minute"
    # No larger unit is ever reached; `format_unit` lacks the long form of some languages.
    return format_timedelta(time, granularity=unit, threshold=1e9, locale=context["language"])


def _isolated(name: str) -> Markup:
    """Keep a name inside a sentence from turning the sentence's direction."""
    return Markup("<bdi>{}</bdi>").format(name)


def _device(user_agent: str | None) -> Device:
    return device_of(user_agent)
