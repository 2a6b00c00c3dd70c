"""Pieces of request and response bodies that several routes share."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from twinlock.core.proof import Acr
from twinlock.flows.outcomes import IssuedTokens, Offered, SignedIn


def printable(text: str) -> str:
    """Refuse what no name of anything needs: control characters, and lone surrogates."""
    if not text.isprintable():
        raise ValueError("must consist of printable characters")
    return text


Name = Annotated[str, StringConstraints(max_length=1024)]
"""A login name as typed: any text; only those that exist lead anywhere."""

Password = Annotated[str, StringConstraints(max_length=16_384), Field(repr=False)]
"""A password as typed. Too long a one is denied like a wrong one, not told apart."""

Handle = Annotated[str, StringConstraints(min_length=1, max_length=128), Field(repr=False)]
"""What the client was given to continue with."""

Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(printable),
]
"""What a person calls an authenticator."""

FullName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(printable),
]

Answer = Annotated[
    str | dict[str, Any], Field(repr=False, description="What was typed, or a credential.")
]
"""What a person typed, or the credential object of ``navigator.credentials.get()``."""


class MethodOut(BaseModel):
    """A method that may be used now."""

    method: str
    options: dict[str, Any] | None = None

    @classmethod
    def of(cls, offered: Offered) -> "MethodOut":
        """Translate."""
        return cls(method=offered.method, options=offered.options)


class SignedInOut(BaseModel):
    """Signed in: tokens for a bearer client, a CSRF token beside the cookie for a browser."""

    status: Literal["signed_in"] = "signed_in"
    access_token: str | None = None
    token_type: Literal["bearer"] | None = None
    expires_in: int
    refresh_token: str | None = None
    scope: str | None = None
    csrf_token: str | None = None
    acr: Acr
    amr: list[str]
    enrollment_due: datetime | None = None

    @classmethod
    def of(cls, signed_in: SignedIn) -> "SignedInOut":
        """Translate."""
        context = signed_in.context
        issued = signed_in.credentials
        seconds = int(issued.expires_in.total_seconds())
        if isinstance(issued, IssuedTokens):
            return cls(
                access_token=issued.access_token,
                token_type="bearer",
                expires_in=seconds,
                refresh_token=issued.refresh_token,
                scope=" ".join(issued.scope),
                acr=context.acr,
                amr=list(context.amr),
                enrollment_due=signed_in.enrollment_due,
            )
        return cls(
            expires_in=seconds,
            csrf_token=issued.csrf_token,
            acr=context.acr,
            amr=list(context.amr),
            enrollment_due=signed_in.enrollment_due,
        )


class ProblemOut(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
