"""The page of a mailed link: what is the same for all of them.

Looking at a mailed link changes nothing, because mail programs look at links by themselves; its
button does. A link that is over says so, but not why, and like one that never was.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller
from twinlock.flows.outcomes import Refused
from twinlock.flows.recovery import LINK_INVALID
from twinlock.pages.forms import Fields, form_secret, form_token, has_form_token, keep_form_secret
from twinlock.pages.replies import see_other
from twinlock.pages.shown import page
from twinlock.web.runtime import Runtime

MAX_NAME: Final = 1024
"""Characters that are read of an address or a name for which a link is asked."""

_MAX_TOKEN: Final = 128
_MAX_PASSWORD: Final = 16_384
_STOPPING: Final = frozenset({"cancel", "factors"})

Found_co = TypeVar("Found_co", covariant=True)
Found = TypeVar("Found")
Done = TypeVar("Done")
Words = dict[str, str]


class Look(Protocol[Found_co]):
    """A flow's way to look at a link; None for one that is over."""

    def __call__(self, token: str, /, *, now: datetime) -> Found_co | None:
        """Return what a living link is about."""


class Act(Protocol):
    """A flow's way to do what a link is for."""

    def __call__(self, token: str, caller: Caller, /, *, now: datetime) -> Account | Refused:
        """Do it, once."""


class SetPassword(Protocol[Found_co]):
    """What a link's password is for; its hash is made on the way."""

    def __call__(
        self, runtime: Runtime, token: str, typed: Words, password: str, caller: Caller, /, *,
        now: datetime,
    ) -> Awaitable[Found_co | Refused]:  # fmt: skip
        """Set it."""


def _nothing(_: Fields) -> Words:
    return {}


@dataclass(frozen=True, kw_only=True)  # generic ones cannot be made with slots on 3.11
class ButtonLink(Generic[Found]):
    """A link whose page has one button.

    Attributes:
        shown: What the page tells of what was found.
        done: The path to go on to.
        refusals: By the code of a refusal, the page that tells it.
    """

    kind: str
    template: str
    look: Callable[[Runtime], Look[Found]]
    act: Callable[[Runtime], Act]
    shown: Callable[[Found], dict[str, Any]]
    done: str
    refusals: Mapping[str, str] = field(default_factory=dict)

    async def show(
        self, request: Request, runtime: Runtime, token: str, *, now: datetime
    ) -> HTMLResponse:
        """Offer it, if the link is alive."""
        found = await runtime.workers.run(self.look(runtime), token[:_MAX_TOKEN], now=now)
        if found is None:
            return dead_link(request, self.kind)
        return with_form(request, runtime, self.template, **self.shown(found))

    async def press(
        self,
        request: Request,
        form: Fields,
        runtime: Runtime,
        token: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Response:
        """Do it; a form that is not of this browser's page only looks."""
        if not has_form_token(request, form):
            return await self.show(request, runtime, token, now=now)
        done = await runtime.workers.run(self.act(runtime), token[:_MAX_TOKEN], caller, now=now)
        if not isinstance(done, Refused):
            return see_other(runtime.prefix + self.done)
        if done.code in self.refusals:
            return page(request, self.refusals[done.code], status=400)
        return dead_link(request, self.kind)


@dataclass(frozen=True, kw_only=True)  # generic ones cannot be made with slots on 3.11
class PasswordLink(Generic[Found, Done]):
    """A link whose page asks for a new password.

    Attributes:
        shown: What the page tells of what was found.
        typed: What else is typed, to be shown again after an error.
        lead: Where to go on to.
    """

    kind: str
    template: str
    look: Callable[[Runtime], Look[Found]]
    shown: Callable[[Found], dict[str, Any]]
    set_password: SetPassword[Done]
    lead: Callable[[Request, Runtime, Done], Response]
    typed: Callable[[Fields], Words] = _nothing

    async def show(
        self, request: Request, runtime: Runtime, token: str, *, now: datetime
    ) -> HTMLResponse:
        """Ask for a password, if the link is alive."""
        found = await runtime.workers.run(self.look(runtime), token[:_MAX_TOKEN], now=now)
        if found is None:
            return dead_link(request, self.kind)
        shown = {**self.shown(found), **self.typed(Fields({}))}
        return with_form(request, runtime, self.template, **shown)

    async def take(
        self,
        request: Request,
        form: Fields,
        runtime: Runtime,
        token: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Response:
        """Set the password; an error keeps what was typed, never the password."""
        token = token[:_MAX_TOKEN]
        found = await runtime.workers.run(self.look(runtime), token, now=now)
        if found is None:
            return dead_link(request, self.kind)
        typed = self.typed(form)
        shown = {**self.shown(found), **typed}
        if not has_form_token(request, form):
            return with_form(request, runtime, self.template, 403, error="stale", **shown)
        password = form.text("new_password")[: _MAX_PASSWORD + 1]
        done = await self.set_password(runtime, token, typed, password, caller, now=now)
        if not isinstance(done, Refused):
            return self.lead(request, runtime, done)
        if done.code == LINK_INVALID.code:
            return dead_link(request, self.kind)
        return with_form(request, runtime, self.template, 400, error=done.code, **shown)


def dead_link(request: Request, kind: str) -> HTMLResponse:
    """Say that a link leads nowhere; not why, and the same for one that never was."""
    name = "nothing_to_stop" if kind in _STOPPING else "dead_link"
    return page(request, f"recovery/{name}.html", status=404, kind=kind)


def with_form(
    request: Request, runtime: Runtime, template: str, status: int = 200, **shown: Any
) -> HTMLResponse:
    """Return a page with a form that is sent before there is a session."""
    secret = form_secret(request)
    shown = {"minutes": 0, "csrf": form_token(runtime, secret), **shown}
    response = page(request, template, status=status, **shown)
    keep_form_secret(response, secret)
    return response
