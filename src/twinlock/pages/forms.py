"""Forms: read strictly, and sent from our own pages only."""

from collections.abc import Mapping
from datetime import timedelta
from hmac import compare_digest
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response

from twinlock.core.secrets import new_secret
from twinlock.pages import cookies
from twinlock.web.problems import ProblemError, cross_site_request
from twinlock.web.runtime import Runtime, runtime_of

_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 24
_OPEN_FOR: Final = timedelta(hours=12)


class StaleFormError(ProblemError):
    """A form without the token of its page: open for too long, or not ours."""

    def __init__(self) -> None:
        super().__init__(403, "csrf_token_required", "The page was open for too long.")


class Fields:
    """The fields of a form, each of which came once."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Return a field as it was typed; empty where it is missing."""
        return self._fields.get(name, "")

    def line(self, name: str, *, max_length: int) -> str:
        """Return a field without blanks around it; empty where it is no printable short line."""
        text = self.text(name).strip()
        return text if len(text) <= max_length and text.isprintable() else ""


async def _fields(request: Request) -> Fields:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if media_type != _MEDIA_TYPE:
        raise ProblemError(415, "unsupported_media_type", "A form is expected.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_MAX_FIELDS,
            errors="strict",
        )
    except ValueError as error:
        raise ProblemError(400, "malformed_form", "The form cannot be read.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ProblemError(400, "malformed_form", "A field is there twice.")
    return Fields(fields)


Form = Annotated[Fields, Depends(_fields)]
"""The fields of the submitted form."""


def form_secret(request: Request) -> str:
    """Return what the form tokens of this browser are made of, a new one where it has none."""
    return cookies.read(request, cookies.FORM) or new_secret()


def form_token(runtime: Runtime, secret: str) -> str:
    """Return the token of forms that are sent before there is a session."""
    return runtime.parts.digest_key.digest("form", secret).hex()


def keep_form_secret(response: Response, secret: str) -> None:
    """Let the browser send the secret along with its next form."""
    cookies.give(response, cookies.FORM, secret, max_age=_OPEN_FOR)


def refuse_other_sites(request: Request, *, has_cookie: bool) -> None:
    """Refuse what another site's page sends.

    Raises:
        ProblemError: 403.
    """
    origin = runtime_of(request).origin
    if origin.is_cross_site(request, has_cookie=has_cookie):
        raise cross_site_request(origin.name)


def has_form_token(request: Request, form: Fields) -> bool:
    """Tell whether a form that needs no session comes from a page of this browser.

    Raises:
        ProblemError: It comes from another site.
    """
    refuse_other_sites(request, has_cookie=False)
    secret = cookies.read(request, cookies.FORM)
    if secret is None:
        return False
    expected = form_token(runtime_of(request), secret)
    return compare_digest(form.text("csrf").encode("utf-8", "replace"), expected.encode())
