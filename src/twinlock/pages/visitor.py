"""Whose page it is: the session cookie, and the token that each of its forms carries."""

from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request

from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.pages.forms import Fields, Form, StaleFormError, refuse_other_sites
from twinlock.pages.paths import own_path, with_query
from twinlock.pages.shown import VISITORS_LANGUAGE
from twinlock.web.credentials import session_cookie
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime, runtime_of

FIRST_PASSWORD: Final = "/account/password"
_ON_THE_WAY: Final = (FIRST_PASSWORD, "/reauthenticate", "/logout")
"""All that opens to who holds a first password, with what is below it."""


class SeeOtherError(ProblemError):
    """The answer is another page."""

    def __init__(self, path: str) -> None:
        super().__init__(303, "see_other", "See the other page.", headers={"Location": path})


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in browser.

    Attributes:
        csrf: What its forms carry.
    """

    user: User
    cookie: str = field(repr=False)
    csrf: str = field(repr=False)

    @property
    def name(self) -> str:
        """What the person is called at the top of a page."""
        return self.user.full_name or self.user.username


async def signed_in(request: Request) -> Visitor | None:
    """Return who is signed in; None for nobody, and for a session that has ended.

    Raises:
        ProblemError: 400, more than one credential came along.
    """
    secret = session_cookie(request)
    if secret is None:
        return None
    if "authorization" in request.headers:
        raise ProblemError(400, "ambiguous_credentials", "More than one credential.")
    runtime = runtime_of(request)
    user = await runtime.sight.user_of_cookie(secret)
    if user is None:
        return None
    setattr(request.state, VISITORS_LANGUAGE, user.language)
    return Visitor(user, secret, runtime.opening.csrf_token(secret))


def has_csrf_token(request: Request, form: Fields, visitor: Visitor) -> bool:
    """Tell whether a form comes from a page of this session.

    Raises:
        ProblemError: It comes from another site.
    """
    refuse_other_sites(request, has_cookie=True)
    opening = runtime_of(request).opening
    return opening.is_csrf_token(form.text("csrf"), cookie_secret=visitor.cookie)


async def _looking(request: Request) -> Visitor:
    visitor = await signed_in(request)
    here = own_path(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    if visitor is None:
        raise SeeOtherError(with_query(f"{runtime_of(request).prefix}/login", next=here))
    _keep_to_first_password(request, visitor, back=here)
    return visitor


async def _acting(request: Request, form: Form) -> Visitor:
    refuse_other_sites(request, has_cookie=True)
    visitor = await signed_in(request)
    if visitor is None:
        raise SeeOtherError(f"{runtime_of(request).prefix}/login")
    if not has_csrf_token(request, form, visitor):
        raise StaleFormError
    _keep_to_first_password(request, visitor)
    return visitor


def _keep_to_first_password(request: Request, visitor: Visitor, *, back: str | None = None) -> None:
    """Lead who holds a first password to its change, from wherever else, and then back.

    Raises:
        SeeOtherError: It is to be changed first.
    """
    prefix = runtime_of(request).prefix
    path = request.url.path.removeprefix(prefix)
    is_on_the_way = any(path == one or path.startswith(f"{one}/") for one in _ON_THE_WAY)
    if visitor.user.must_change_password and not is_on_the_way:
        raise SeeOtherError(with_query(f"{prefix}{FIRST_PASSWORD}", next=back))


Looking = Annotated[Visitor, Depends(_looking)]
"""Who looks at a page; whoever is not signed in is led to the sign-in page and back."""

Acting = Annotated[Visitor, Depends(_acting)]
"""Who sends a form, from a page of ours."""


def require_fresh(runtime: Runtime, visitor: Visitor, back: str, *, has_factor: bool) -> None:
    """Lead to the page that asks for a proof again, before one fills in a form in vain.

    Raises:
        SeeOtherError: The session proved too little, or too long ago.
    """
    user = visitor.user
    is_enough = user.acr.satisfies(Acr.AAL2 if has_factor else Acr.AAL1)
    if not is_enough or not user.is_fresh(runtime.parts.lifetimes.fresh, now=runtime.clock()):
        raise prove_again(runtime, back)


def prove_again(runtime: Runtime, back: str) -> SeeOtherError:
    """Return the way to the page that asks for a proof again, and from there *back*."""
    return SeeOtherError(with_query(f"{runtime.prefix}/reauthenticate", next=runtime.prefix + back))
