"""The pages of an enrollment, inside a session or inside a login that waits for one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from twinlock.factors.totp.otpauth import Parsed, encode_secret, parse_uri, qr_svg
from twinlock.flows.enrolling import EnrollmentBegun
from twinlock.flows.enrollment import EnrollmentAsked
from twinlock.pages import credentials
from twinlock.pages.forms import Fields
from twinlock.pages.paths import own_path, with_query
from twinlock.pages.shown import page, pages_of
from twinlock.web.runtime import Runtime

METHODS: Final = ("passkey", "totp", "email_code")
"""What is enrolled by pages, in the order in which people are offered it."""
_MAILED: Final = "email_code"
_LABELS: Final = {"passkey": "Passkey", "totp": "Authenticator app", "email_code": "E-mail"}
_MAX_LABEL: Final = 64
_MAX_URI: Final = 4096
_MAX_ADDRESS: Final = 320
_MAX_ANSWER: Final = 1024
_WORDS: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an enrollment takes place.

    Attributes:
        owner: Whose it is: nobody makes us show the key of somebody else.
        csrf: What its forms carry.
        path: What the addresses of its forms begin with.
        again: Where it begins anew.
        leave: Where one goes without it.
        next: Where one wanted to go.
        is_forced: Whether nothing opens without it.
        way_out: What one can leave: a session, or a login that waits.
    """

    owner: str = field(repr=False)
    csrf: str = field(repr=False)
    path: str
    again: str
    leave: str
    next: str | None = None
    is_forced: bool = False
    way_out: str = "session"


@dataclass(frozen=True, slots=True)
class Typed:
    """What the form of an enrollment brings back."""

    handle: str = field(repr=False)
    uri: str = field(repr=False)
    shown: str = field(repr=False)
    label: str
    answer: object = field(repr=False)
    sent_to: str = ""

    @classmethod
    def of(cls, form: Fields, method: str) -> "Typed":
        """Read it."""
        is_passkey = method == credentials.METHOD
        label = form.line("label", max_length=_MAX_LABEL) or _LABELS.get(method, method)
        return cls(
            form.text("enrollment")[:128],
            form.text("uri")[:_MAX_URI],
            form.text("shown"),
            label,
            credentials.credential_in(form) if is_passkey else form.text("answer")[:_MAX_ANSWER],
            form.line("sent_to", max_length=_MAX_ADDRESS),
        )


def choose_page(
    request: Request,
    place: Place,
    methods: Sequence[str],
    *,
    due: datetime | None = None,
    asked: EnrollmentAsked | None = None,
    **shown: Any,
) -> HTMLResponse:
    """Offer the kinds of authenticator, and say who asks for one."""
    return page(
        request,
        "factors/choose.html",
        place=place,
        way_out=place.way_out,
        methods=[method for method in METHODS if method in methods],
        due=due,
        asked=asked,
        **shown,
    )


def begun_page(
    request: Request, runtime: Runtime, place: Place, method: str, begun: EnrollmentBegun
) -> HTMLResponse:
    """Show the first half of the ceremony: a key to scan, or what the browser is to make."""
    if method == credentials.METHOD:
        return page(
            request,
            "factors/passkey.html",
            place=place,
            way_out=place.way_out,
            enrollment=begun.handle,
            options=credentials.written(begun.options),
        )
    if method == _MAILED:
        return _mailed_page(request, place, begun.handle, str(begun.options["sent_to"]))
    return _key_page(request, runtime, place, begun.handle, str(begun.options["uri"]))


def again_page(
    request: Request, runtime: Runtime, place: Place, method: str, typed: Typed, error: str
) -> HTMLResponse:
    """Show the same key after a wrong code; a passkey begins anew."""
    if method == _MAILED:
        label = typed.label
        return _mailed_page(
            request, place, typed.handle, typed.sent_to, status=400, error=error, label=label
        )
    expected = _shown(runtime, place, typed.handle, typed.uri)
    is_ours = compare_digest(typed.shown.encode("utf-8", "replace"), expected.encode())
    if method == credentials.METHOD or not is_ours:
        return over_page(request, place, method)
    return _key_page(
        request,
        runtime,
        place,
        typed.handle,
        typed.uri,
        status=400,
        error=error,
        label=typed.label,
    )


def over_page(request: Request, place: Place, method: str) -> HTMLResponse:
    """Say that an enrollment was confirmed too late or too often."""
    is_key = method == "totp"
    way_out = place.way_out
    return page(
        request, "factors/over.html", status=400, place=place, is_key=is_key, way_out=way_out
    )


def refused_page(request: Request, place: Place | None, code: str) -> HTMLResponse:
    """Say why something cannot be done now."""
    way_out = place.way_out if place else "session"
    return page(
        request, "factors/refused.html", status=400, place=place, code=code, way_out=way_out
    )


def codes_page(
    request: Request,
    runtime: Runtime,
    username: str,
    codes: Sequence[str],
    there: str | None,
    *,
    now: datetime,
) -> HTMLResponse:
    """Show the recovery codes, this once; behind them lies the page that one wanted."""
    text = "\n".join([*codes, ""])
    service = "-".join(_WORDS.findall(pages_of(request).service.lower()))[:_MAX_LABEL]
    check = f"{runtime.prefix}/factors/recovery_codes/check"
    return page(
        request,
        "factors/codes.html",
        username=username,
        codes=codes,
        file_name=f"{service}-recovery-codes.txt".lstrip("-"),
        download=f"data:text/plain;charset=utf-8,{quote(text)}",
        check=with_query(check, next=own_path(there)),
        made_at=now,
        done=None,
        way_out="session",
    )


def _mailed_page(
    request: Request,
    place: Place,
    handle: str,
    sent_to: str,
    *,
    status: int = 200,
    error: str | None = None,
    label: str = "",
) -> HTMLResponse:
    return page(
        request,
        "factors/email_code.html",
        status=status,
        place=place,
        way_out=place.way_out,
        enrollment=handle,
        sent_to=sent_to,
        error=error,
        label=label,
    )


def _key_page(
    request: Request,
    runtime: Runtime,
    place: Place,
    handle: str,
    uri: str,
    *,
    status: int = 200,
    error: str | None = None,
    label: str = "",
) -> HTMLResponse:
    parsed = parse_uri(uri)
    if not isinstance(parsed, Parsed):
        return over_page(request, place, "totp")
    key = encode_secret(parsed.key)
    shown: Mapping[str, Any] = {
        "enrollment": handle,
        "uri": uri,
        "shown": _shown(runtime, place, handle, uri),
        "key": " ".join(key[at : at + 4] for at in range(0, len(key), 4)),
        "qr": Markup(qr_svg(uri)),  # noqa: S704 - drawn here, from squares alone
        "label": label,
    }
    return page(
        request,
        "factors/totp.html",
        status=status,
        place=place,
        way_out=place.way_out,
        error=error,
        wide=True,
        **shown,
    )


def _shown(runtime: Runtime, place: Place, handle: str, uri: str) -> str:
    """Return what proves that this key was shown here: nobody makes us show another one."""
    return runtime.parts.digest_key.digest("shown-key", place.owner, handle, uri).hex()
