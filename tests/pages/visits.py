"""Visits that see every page of people and every state of it: empty, refused, run out, too early.

Each is a function of a `Guide`; what no visit sees is told by the gallery.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from tests.pages.guide import NEW_PASSWORD, Guide, with_mailed_codes, with_passkey
from tests.pages.visits_inside import (
    authenticators,
    history,
    many_kinds,
    not_me,
    own_password_and_address,
    proving_again,
    security,
    without_password,
)
from tests.support.house import OPERATOR, PASSWORD, House
from twinlock.core.proof import Acr
from twinlock.flows.account_making import NewAccount
from twinlock.flows.factor_administration import Removed
from twinlock.policies.policy import Kind, Policy

__all__ = ["VISITS", "security", "signing_in"]


def signing_in(guide: Guide) -> None:
    """Wrong, stale and throttled passwords; words of a passkey that was refused."""
    visitor, name = guide.stranger(), guide.person()
    for path in ("/login?next=/events", "/login/totp", "/login/help", "/language", "/logout"):
        visitor.open(path)
    visitor.open("/login")
    visitor.send("/login", csrf="x", username=name, password=PASSWORD)
    for _ in range(12):
        visitor.sign_in(name, "wrong")
    odd = guide.stranger()
    odd.open("/login")
    odd.send("/passkey", answer="{}")
    odd.open("/no/such/page")


def second_steps(guide: Guide) -> None:
    """Every second step, fresh, denied, stale and sent too often."""
    _, name, _ = guide.enrolled()
    visitor = guide.stranger()
    visitor.open("/login")
    visitor.send("/login", username=name, password=PASSWORD, trust_device="yes")
    visitor.open("/login/help")
    visitor.open("/logout")
    visitor.open("/login/totp")
    visitor.send("/login/totp", csrf="x", answer="1")
    visitor.send("/login/totp", answer="000000")
    for wrong in ({"csrf": "x"}, {}):
        visitor.open("/login/recovery_codes")
        visitor.send("/login/recovery_codes", answer="AAAA", **wrong)
    mailed, name_of_mailed = with_mailed_codes(guide)
    mailed.open("/logout")
    mailed.send("/logout/login")
    mailed.sign_in(name_of_mailed)
    mailed.send("/send", csrf="x")
    for _ in range(2):
        mailed.open("/login/email_code")
        mailed.send("/send")
        mailed.send("/login/email_code", answer="000000")
    for _ in range(12):
        mailed.open("/login/email_code")
        mailed.send("/send")
    keyed = with_passkey(guide)
    keyed.send("/login/passkey", answer="{}")


def recovering(guide: Guide) -> None:
    """A forgotten password, and links that are used, old or made up."""
    visitor, name = guide.stranger(), guide.person()
    visitor.open("/recovery/password")
    visitor.send("/recovery/password", csrf="x", username=name)
    visitor.open("/recovery/password")
    visitor.send("/recovery/password", username=name)
    link = guide.link(name)
    visitor.open(link)
    visitor.send(csrf="x", new_password=NEW_PASSWORD)
    for new in ("password", "a" * 2000, "short", NEW_PASSWORD):
        visitor.open(link)
        visitor.send(new_password=new)
    visitor.open(link)
    for path in ("email/", "email/cancel/", "factors/cancel/"):
        visitor.open(f"/recovery/{path}{'x' * 43}")
    for _ in range(12):
        visitor.open("/recovery/password")
        visitor.send("/recovery/password", username=name)


def reset_by_an_admin(guide: Guide) -> None:
    """The link that stops a reset of factors."""
    visitor, name, _ = guide.enrolled()
    admin = guide.person(roles=("admin",))
    headers = guide.house.enroll(guide.client, admin).bearer
    subject = guide.house.account(name).subject
    asked = guide.client.post(f"/api/admin/users/{subject}/factor_reset", headers=headers)
    assert asked.status_code == 202, asked.text
    visitor.open(guide.link(name))
    visitor.send()


def welcoming(guide: Guide) -> None:
    """Invitations and registration, with what is refused."""
    visitor = guide.stranger()
    admin = guide.person(roles=("admin",))
    headers = guide.house.enroll(guide.client, admin).bearer
    body = {"username": "invited", "email": "invited@example.com"}
    sent = guide.client.post("/api/admin/invitations", json=body, headers=headers)
    assert sent.status_code == 201, sent.text
    link = guide.link("invited")
    visitor.open(link)
    visitor.send(csrf="x", new_password=NEW_PASSWORD)
    by_operator = NewAccount("guest", "guest@example.com")
    guide.house.runtime.invitations.invite(by_operator, OPERATOR, now=guide.house.now)
    visitor.open(guide.link("guest"))
    for new in ("password", "short", NEW_PASSWORD):
        visitor.open(link)
        visitor.send(new_password=new)
    visitor.open(link)
    visitor.open("/registration")
    visitor.send("/registration", csrf="x", email="new@example.com")
    visitor.send("/registration", email="nonsense")
    visitor.send("/registration", email="new@example.com")
    link = guide.link("new")
    visitor.open(link)
    visitor.send(csrf="x", username="new", new_password=PASSWORD)
    visitor.send(username="a b@c", new_password=PASSWORD)
    visitor.send(username="new", new_password="short")
    visitor.send(username="new", new_password=PASSWORD)
    visitor.open(link)
    for number in range(12):
        visitor.open("/registration")
        visitor.send("/registration", email=f"new{number}@example.com")


def errors(guide: Guide) -> None:
    """Requests that are refused, stale, not for this person, or too many."""
    visitor, _ = guide.inside()
    visitor.open("/admin")
    visitor.open("/account")
    visitor.send("/logout", csrf="x")
    visitor.gallery.keep(visitor.client.post("/login", json={}, headers=visitor.headers))
    admin, _ = guide.inside(roles=("admin",))
    admin.open("/account")
    admin.open("/admin")
    with broken_database(guide.house, OperationalError("SELECT", {}, sqlite3.OperationalError())):
        visitor.open("/account")
    with broken_database(guide.house, LookupError("a bug of ours")):
        visitor.open("/account")


def demanded(guide: Guide) -> None:
    """A second factor that a policy demands now, later, or that cannot be set up."""
    soon, _ = guide.inside()
    _, reset_name, _ = guide.enrolled()
    last, _, _ = guide.enrolled()
    guide.demand(Acr.AAL2, days_ago=-5)
    soon.open("/account")
    soon.open("/factors/new")
    guide.demand(Acr.AAL2)
    visitor = guide.stranger()
    visitor.sign_in(guide.person())
    for method in ("passkey", "email_code", "totp"):
        visitor.open("/enrollment")
        if any(f"/enrollment/{method}" in one.action for one in visitor.read().forms):
            visitor.send(f"/enrollment/{method}")
    for _ in range(6):
        if any("/confirm" in one.action for one in visitor.read().forms):
            visitor.send("/confirm", answer="000000")
    guide.stranger().open("/enrollment")
    last.open("/account")
    last.open(next(link for link in last.read().links if link.endswith("/remove")))
    last.send("/remove")
    work = guide.house.factor_administration
    done = work.reset(guide.house.account(reset_name), OPERATOR, now=guide.house.now)
    assert isinstance(done, Removed)
    again = guide.stranger()
    again.sign_in(reset_name)
    again.send("/link", token="x y")
    again.send("/link", token="x" * 43)
    again.send("/enrollment/totp")
    opened = guide.stranger()
    opened.open(urlsplit(done.link or "").path)
    opened.open("/login")
    guide.demand_nothing()
    guide.demand_of_role("editor", Acr.AAL2)
    guide.stranger().sign_in(guide.person(roles=("editor",)))
    guide.demand_of_role("editor", Acr.PHR)
    guide.stranger().sign_in(guide.person(roles=("editor",)))
    guide.demand_of_role("editor", None)
    guide.demand(Acr.PHR)
    keys_only = guide.stranger()
    keys_only.sign_in(guide.person())
    keys_only.post("/enrollment/totp")
    guide.demand_nothing()
    nothing = guide.person(email=None)
    subject, since = guide.house.account(nothing).subject, guide.house.now - timedelta(days=1)
    policy = Policy(Kind.ACCOUNT, subject, Acr.AAL2, since=since, methods=("email_code",))
    guide.house.policy_administration.set_policy(policy, OPERATOR, now=guide.house.now)
    helpless = guide.stranger()
    helpless.sign_in(nothing)
    helpless.open("/enrollment")


VISITS: Final[tuple[Callable[[Guide], None], ...]] = (
    signing_in,
    second_steps,
    security,
    own_password_and_address,
    proving_again,
    authenticators,
    not_me,
    recovering,
    reset_by_an_admin,
    welcoming,
    errors,
    many_kinds,
    without_password,
    history,
    demanded,
)


@contextmanager
def broken_database(house: House, error: Exception) -> Iterator[None]:
    """Let every statement fail."""

    def refuse(*_: Any) -> None:
        raise error

    engine = house.database.engine
    event.listen(engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", refuse)
