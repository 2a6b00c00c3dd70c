"""Visits of who is signed in: the own account, its authenticators, its history."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from tests.factors.suite import code_in
from tests.pages.guide import (
    NEW_PASSWORD,
    Guide,
    answer_of,
    by_passkey,
    spend,
    with_mailed_codes,
    with_passkey,
)
from tests.support.house import OPERATOR, PASSWORD, bearer, sign_in
from twinlock.testing.authenticator import FakeAuthenticator

PHONE: Final = "Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36"


def security(guide: Guide) -> None:
    """The own account: bare, with everything, and with codes that run out."""
    bare, name = guide.inside()
    bare.open("/account")
    bare.open("/events")
    bare.open("/logout")
    bare.send("/logout")
    given, until = guide.stranger(), guide.house.now + timedelta(hours=24)
    given.sign_in(guide.person(password_expires_at=until))
    guide.house.clock.advance(minutes=11)
    given.open("/account")
    nowhere, _ = guide.inside(email=None)
    nowhere.open("/account")
    unconfirmed, _ = guide.inside(is_email_verified=False)
    unconfirmed.open("/account")
    rich, name, enrolled = guide.enrolled()
    for device in range(2):
        again = guide.stranger()
        guide.house.clock.advance(seconds=30)
        again.sign_in(name)
        answer = enrolled.phone.code(guide.house.now)
        again.send("/login/totp", answer=answer, trust_device="yes")
        again.open("/account")
        if device:
            again.open("/logout")
            again.send("/logout")
            again.send("/logout/device")
    for code in enrolled.recovery_codes[:7]:
        spend(guide, name, code)
    rich.open("/account")
    for code in enrolled.recovery_codes[7:]:
        spend(guide, name, code)
    rich.open("/account")
    for aaguid in (bytes(16), UUID("fbfc3007-154e-4ecc-8c0b-6e020557d7bd").bytes):
        with_passkey(guide, signed_in=True, aaguid=aaguid).open("/account")
    with_mailed_codes(guide, signed_in=True)[0].open("/account")


def own_password_and_address(guide: Guide) -> None:
    """Another password and another address, with what is refused."""
    visitor, name = guide.inside()
    visitor.open("/account/password")
    for new in ("password", "a" * 2000, "short"):
        visitor.send("/account/password", current_password=PASSWORD, new_password=new)
    for _ in range(12):
        visitor.send("/account/password", current_password="no", new_password=NEW_PASSWORD)
    other, name = guide.inside()
    other.open("/account/email")
    other.send("/account/email", email="nonsense")
    other.send("/account/email", email=f"{name}@example.com")
    other.send("/account/email", email=f"new-{name}@example.com")
    confirm, cancel = guide.link(f"new-{name}"), guide.link(name)
    for path in (confirm, cancel):
        other.open(path)
    other.open(cancel)
    other.send("/cancel") if other.form().action else other.send()
    other.open(cancel)
    other.open(confirm)
    taken, second = guide.inside()
    taken.open("/account/email")
    taken.send("/account/email", email=f"wanted-{second}@example.com")
    link = guide.link(f"wanted-{second}")
    guide.person(email=f"wanted-{second}@example.com")
    taken.open(link)
    taken.send()
    third, name = guide.inside()
    third.open("/account/email")
    third.send("/account/email", email=f"third-{name}@example.com")
    third.open(guide.link(f"third-{name}"))
    third.send()
    for _ in range(12):
        visitor.open("/account/email")
        visitor.send("/account/email", email=f"many{_}@example.com")


def proving_again(guide: Guide) -> None:
    """Each way to prove it again, denied and asked for too often."""
    bare, _ = guide.inside()
    both, _, _ = guide.enrolled()
    mailed = with_mailed_codes(guide, signed_in=True)[0]
    key = with_passkey(guide, signed_in=True)
    guide.house.clock.advance(minutes=11)
    bare.open("/account/password")
    bare.send("/reauthenticate/password", answer="wrong")
    both.open("/factors/new")
    both.send("/reauthenticate/totp", answer="000000")
    both.open("/reauthenticate?method=recovery_codes&next=/account")
    both.send("/reauthenticate/recovery_codes", answer="AAAA")
    mailed.open("/factors/new")
    mailed.send("/send")
    mailed.send("/reauthenticate/email_code", answer="000000")
    for _ in range(25):
        mailed.open("/factors/new")
        mailed.send("/send")
    key.open("/factors/new")
    key.send("/reauthenticate/passkey", answer="{}")


def authenticators(guide: Guide) -> None:
    """Set up, rename and remove authenticators; make codes; and what is refused of it."""
    visitor, _ = guide.inside()
    visitor.open("/factors/recovery_codes")
    for method in ("passkey", "email_code", "totp"):
        visitor.open("/factors/new")
        visitor.send(f"/factors/{method}")
        if method != "passkey":
            visitor.send("/confirm", answer="000000")
    uri = visitor.form("/confirm").fields["uri"]
    phone = FakeAuthenticator.from_uri(uri)
    off = phone.code(guide.house.now - timedelta(minutes=3))
    visitor.send("/confirm", answer=off)
    visitor.send("/confirm", answer=phone.code(guide.house.now))
    visitor.open(next(link for link in visitor.read().links if "/check" in link))
    visitor.send("/check", answer="AAAA")
    visitor.open("/account")
    rename, remove = (
        next(link for link in visitor.read().links if link.endswith(end))
        for end in ("/rename", "/remove")
    )
    visitor.open(rename)
    visitor.open(remove)
    visitor.open("/factors/recovery_codes")
    visitor.open("/factors/new")
    visitor.send("/factors/passkey")
    visitor.send("/confirm", answer="{}")
    visitor.open("/factors/new")
    visitor.send("/factors/totp")
    for _ in range(6):
        if visitor.read().forms and any("/confirm" in one.action for one in visitor.read().forms):
            visitor.send("/confirm", answer="000000")
    rich, _, _ = guide.enrolled()
    rich.open("/factors/new")
    rich.send("/factors/totp")
    second = FakeAuthenticator.from_uri(rich.form("/confirm").fields["uri"])
    rich.send("/confirm", answer=second.code(guide.house.now))
    rich.open("/account")
    rich.open(next(link for link in rich.read().links if link.endswith("/remove")))


def not_me(guide: Guide) -> None:
    """The steps of whoever was not alone in the account, from the first to the last."""
    visitor, name, enrolled = guide.enrolled()
    other = guide.stranger()
    guide.house.clock.advance(seconds=30)
    other.sign_in(name)
    answer = enrolled.phone.code(guide.house.now)
    other.send("/login/totp", answer=answer, trust_device="yes")
    visitor.open("/not-me")
    visitor.send("/not-me")
    visitor.open("/account/password")
    visitor.send("/account/password", current_password=PASSWORD, new_password=NEW_PASSWORD)
    visitor.open("/factors/recovery_codes")
    visitor.send("/factors/recovery_codes")
    visitor.open("/not-me")
    bare, _ = guide.inside()
    bare.open("/not-me")
    bare.send("/not-me")


def many_kinds(guide: Guide) -> None:
    """Somebody with an app, codes by mail and a passkey, on a phone; and every refusal of more."""
    visitor, name = guide.inside()
    device = FakeAuthenticator()
    guide.house.enroll_passkey(guide.client, device, sign_in(guide.client, name))
    for method in ("email_code", "totp"):
        visitor = guide.stranger()
        by_passkey(visitor, name, device)
        visitor.open("/factors/new")
        visitor.send(f"/factors/{method}")
        if method == "totp":
            phone = FakeAuthenticator.from_uri(visitor.form("/confirm").fields["uri"])
            visitor.send("/confirm", answer=phone.code(guide.house.now))
        else:
            visitor.send("/confirm", answer=code_in(guide.trap, f"{name}@example.com"))
    visitor.headers["User-Agent"] = PHONE
    visitor.open("/login")
    again = guide.stranger()
    again.headers["User-Agent"] = PHONE
    again.sign_in(name)
    for method in ("totp", "email_code", "recovery_codes"):
        again.open(f"/login/{method}")
    by_passkey(again, name, device)
    again.open("/account")
    for _ in range(6):
        again.open("/factors/new")
        again.post("/factors/totp")
        if not any("/confirm" in form.action for form in again.read().forms):
            break
        phone = FakeAuthenticator.from_uri(again.form("/confirm").fields["uri"])
        again.send("/confirm", answer=phone.code(guide.house.now))
    unconfirmed, _ = guide.inside(is_email_verified=False)
    unconfirmed.open("/factors/new")
    unconfirmed.post("/factors/email_code")
    by_link, name = guide.stranger(), guide.person()
    by_link.open("/recovery/password")
    by_link.send("/recovery/password", username=name)
    by_link.open(guide.link(name))
    by_link.send(new_password=NEW_PASSWORD)
    by_link.sign_in(name, NEW_PASSWORD)
    by_link.open("/factors/new")
    by_link.post("/factors/email_code")
    by_link.open("/factors/new")
    by_link.post("/factors/recovery_codes")
    often, _ = guide.inside()
    for _ in range(25):
        often.open("/factors/new")
        often.post("/factors/email_code")


def without_password(guide: Guide) -> None:
    """Somebody whose passkey is the only way in: it stays, and there is no password to change."""
    name, device = guide.person(password=None), FakeAuthenticator()
    factor = guide.house.runtime.parts.factors.get("passkey")
    assert factor is not None
    work, account, now = (
        guide.house.factor_administration,
        guide.house.account(name),
        guide.house.now,
    )
    prompt = work.begin_enrollment(account, factor, now=now)
    answer: Any = device.create(prompt.options or {})
    work.finish_enrollment(account, factor, prompt, answer, "Key", OPERATOR, now=now)
    visitor = guide.stranger()
    visitor.open("/login")
    visitor.send("/passkey", answer=answer_of(visitor, device))
    again = guide.stranger()
    again.open("/login")
    again.send("/passkey", answer=answer_of(again, device))
    again.send("/logout")
    again.open("/login")
    again.sign_in(name, "wrong")
    visitor.open("/account")
    visitor.open(next(link for link in visitor.read().links if link.endswith("/remove")))
    visitor.send("/remove")
    visitor.open("/account/password")
    visitor.send("/account/password", current_password=PASSWORD, new_password=NEW_PASSWORD)


def history(guide: Guide) -> None:
    """A history of several pages, and its end."""
    visitor, name = guide.inside()
    headers = bearer(sign_in(guide.client, name))
    for number in range(55):
        body = {"full_name": f"Number {number}"}
        guide.client.patch("/api/account", json=body, headers=headers)
    visitor.open("/events")
    older = next(link for link in visitor.read().links if "cursor" in link)
    visitor.open(older)
    visitor.open(f"/events?cursor={'0' * 32}")
