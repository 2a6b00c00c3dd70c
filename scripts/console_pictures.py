"""Photograph the admin console for the docs; `scripts/screenshots.py` calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from twinlock.accounts.subjects import store as subject_store
from twinlock.app import Twinlock
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.proof import Reason
from twinlock.flows import mailing
from twinlock.flows.account_making import NewAccount
from twinlock.mail import store as outbox
from twinlock.mail.letters import Kind, Letter
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.clock import MovableClock
from twinlock.testing.people import create_user

if TYPE_CHECKING:
    from playwright.async_api import Page

OPERATOR = Caller(actor="cli:harbour")
PEOPLE = (
    ("amina.h", "Amina Haddad"),
    ("benedikt", "Benedikt Vogel"),
    ("chiara.r", "Chiara Rinaldi"),
    ("dmitri", "Dmitri Sokolov"),
    ("elif.k", "Elif Kaya"),
    ("finn.o", "Finn O’Sullivan"),
    ("grace", "Grace Nakamura"),
    ("hugo.l", "Hugo Lindqvist"),
    ("ines.m", "Inês Moreira"),
    ("jamal.w", "Jamal Washington"),
)
_BUSY = (39, 41, 44, 45, 21, 17, 43, 45, 47, 44, 45, 22, 18, 11)
PAGES = (
    ("overview", ""),
    ("accounts", "/accounts"),
    ("account", "/accounts/{account}"),
    ("disable", "/accounts/{account}/disable"),
    ("invitations", "/invitations"),
    ("events", "/events"),
    ("keys", "/keys"),
    ("mail", "/mail"),
)
ON_A_PHONE = ("overview", "account")


class Studio(Protocol):
    """What `screenshots.py` lends."""

    auth: Twinlock
    clock: MovableClock

    def visitor(
        self, scheme: Literal["light", "dark"], size: tuple[int, int], device: str = "mac"
    ) -> AbstractAsyncContextManager[Page]:
        """Open a browser of its own."""
        ...

    async def shoot(self, page: Page, name: str) -> None:
        """Take a picture."""
        ...

    async def sign_in(self, page: Page, name: str, phone: FakeAuthenticator | None = None) -> None:
        """Sign in, with both factors where there are two."""
        ...


def furnish(auth: Twinlock, clock: MovableClock, password: str) -> FakeAuthenticator:
    """Let some people move in and two weeks pass; return the authenticator app of the admin."""
    phones = {}
    for name, full_name in (*PEOPLE, ("marlene.o", "Marlene Oduya"), ("ana", "Ana Ruiz")):
        roles = ("admin",) if name in {"ana", "benedikt"} else ("records",)
        create_user(
            auth, name, password=password, email=f"{name}@harbour.example", full_name=full_name,
            roles=roles,
        )  # fmt: skip
        if name not in {"dmitri", "hugo.l", "jamal.w"}:
            phones[name] = _enroll(auth, clock, name)
    runtime = auth.runtime
    _happen(auth, clock)
    gone = runtime.administration.find("finn.o")
    if gone is not None:
        runtime.administration.disable(gone, OPERATOR, now=clock())
    for name, full_name in (("kofi.a", "Kofi Asante"), ("lena.b", "Lena Brandt")):
        new = NewAccount(name, f"{name}@harbour.example", full_name, ("records",))
        runtime.invitations.invite(new, OPERATOR, now=clock())
    _refuse_a_mail(auth, clock)
    return phones["ana"]


def _enroll(auth: Twinlock, clock: MovableClock, name: str) -> FakeAuthenticator:
    runtime = auth.runtime
    account = runtime.administration.find(name)
    factor = runtime.parts.factors.get("totp")
    if account is None or factor is None:
        raise LookupError(name)
    work, now = runtime.factor_administration, clock()
    prompt = work.begin_enrollment(account, factor, now=now)
    phone = FakeAuthenticator.from_uri(str((prompt.options or {})["uri"]))
    label = f"{(account.full_name or name).split()[0]}’s phone"
    work.finish_enrollment(account, factor, prompt, phone.code(now), label, OPERATOR, now=now)
    clock.advance(seconds=30)
    return phone


def _happen(auth: Twinlock, clock: MovableClock) -> None:
    """Write two weeks of sign-ins and denials."""
    runtime = auth.runtime
    names = [*(name for name, _ in PEOPLE), "marlene.o"]
    people = [runtime.administration.find(name) for name in names]
    subjects = [one.subject for one in people if one is not None]
    for number, one in enumerate(one for one in people if one is not None):
        at = clock() - timedelta(hours=5 * number)
        runtime.parts.database.transaction(
            subject_store.touch, one.subject, seen=one.generation, now=at
        )
    for day, signed_in in enumerate(_BUSY):
        ago = timedelta(days=len(_BUSY) - 1 - day, minutes=7)
        denied = 40 if day == 8 else signed_in // 6
        kinds = [EventType.LOGIN_SUCCEEDED] * signed_in + [EventType.LOGIN_DENIED] * denied
        for number, type_ in enumerate(kinds):
            reason = Reason.WRONG_PASSWORD if type_ is EventType.LOGIN_DENIED else None
            event = Event(
                type_,
                clock() - ago - timedelta(seconds=number),
                Caller("203.0.113.7" if reason else f"192.0.2.{number + 1}", _BROWSER),
                subject=subjects[number % len(subjects)],
                reason=reason,
            )
            runtime.parts.database.transaction(audit.record, event)


def _refuse_a_mail(auth: Twinlock, clock: MovableClock) -> None:
    """Let a mail server have refused a notice."""
    runtime = auth.runtime
    grace = runtime.administration.find("grace")
    if grace is None or grace.email is None:
        raise LookupError("grace")
    parts, now = runtime.parts, clock()
    runtime.delivery.close()
    letter = Letter(Kind.PASSWORD_CHANGED, grace.email, {})
    parts.database.transaction(
        mailing.post, parts, letter, subject=grace.subject, lifetime=timedelta(days=1), now=now
    )
    for mail in parts.database.reading(outbox.list_due, now=now, limit=99):
        if mail.subject == grace.subject and mail.kind == Kind.PASSWORD_CHANGED:
            why = "550 5.1.1 mailbox unavailable"
            parts.database.transaction(outbox.give_up, mail, why=why, now=now)
            event = Event(EventType.MAIL_GIVEN_UP, now, Caller(actor="mail"), subject=grace.subject)
            parts.database.transaction(audit.record, event)


async def photograph(
    studio: Studio,
    schemes: tuple[Literal["light", "dark"], ...],
    sizes: dict[str, tuple[int, int]],
    password: str,
    press: Callable[[Page, str], Awaitable[None]],
) -> None:
    """Make the console's pictures, in every scheme and size."""
    phone = await asyncio.to_thread(furnish, studio.auth, studio.clock, password)
    marlene = studio.auth.runtime.administration.find("marlene.o")
    account = "" if marlene is None else marlene.subject
    for scheme in schemes:
        for size_name, size in sizes.items():
            studio.clock.advance(minutes=11)
            async with studio.visitor(scheme, size) as page:
                await studio.sign_in(page, "ana", phone)
                for name, path in PAGES:
                    if size_name == "phone" and name not in ON_A_PHONE:
                        continue
                    await page.goto("/admin" + path.format(account=account))
                    await studio.shoot(page, f"{size_name}-{scheme}-admin-{name}")
                if size_name == "desk":
                    await page.goto("/admin/policies/set")
                    await press(page, "Show whom it affects")
                    await studio.shoot(page, f"desk-{scheme}-admin-policy")


_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
