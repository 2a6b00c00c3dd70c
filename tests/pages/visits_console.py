"""Visits of admins: every page of the console, in every state that it can be in."""

from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from tests.pages.administered import enroll, happen
from tests.pages.gallery import Visitor
from tests.pages.guide import Guide, with_mailed_codes
from tests.support.house import OPERATOR, PASSWORD
from twinlock.audit.events import EventType
from twinlock.core.proof import Acr
from twinlock.flows import account_listing, mailing, tallying
from twinlock.flows.delivering import EXPIRED, SEAL_BROKEN
from twinlock.mail import store as outbox
from twinlock.mail.letters import Kind, Letter
from twinlock.policies.policy import Kind as For
from twinlock.policies.policy import Policy

LONG: Final = "maximiliane.friederike.von.hohenstaufen-wittelsbach.the.third"
"""As long as a name may nearly be, without a place to break it."""


def admin(guide: Guide, **given: Any) -> tuple[Visitor, str]:
    """Return an admin who has just shown both factors."""
    name = guide.person(roles=("admin",), **given)
    enrolled = guide.house.enroll(guide.client, name)
    visitor = guide.stranger()
    guide.house.clock.advance(seconds=30)
    visitor.sign_in(name)
    visitor.send("/login/totp", answer=enrolled.phone.code(guide.house.now))
    return visitor, name


def of(guide: Guide, name: str, action: str = "") -> str:
    """Return the path of an account, or of what is done to it."""
    path = f"/admin/accounts/{guide.house.account(name).subject}"
    return f"{path}/{action}" if action else path


def write(guide: Guide, sql: str, **given: Any) -> None:
    """Bring about what else takes months, or a thief of the database."""
    with guide.house.database.engine.begin() as tx:
        tx.execute(text(sql), given)


def a_quiet_house(guide: Guide) -> None:
    """An installation in which nothing has happened, first with one admin, then with two."""
    visitor, _ = admin(guide)
    for page in ("", "/accounts", "/policies", "/policies/set", "/invitations", "/keys"):
        visitor.open(f"/admin{page}")
    write(guide, "DELETE FROM outbox")
    for state in ("", "waiting", "given_up"):
        visitor.open(f"/admin/mail?state={state}")
    second, _ = admin(guide)
    second.open("/admin")
    visitor.open("/admin/events?user=nobody")
    visitor.open("/admin/events?until=1999-01-01")


def finding_accounts(guide: Guide) -> None:
    """Lists with few, many and no accounts, filtered, paged, and stopped on the way."""
    visitor, _ = admin(guide)
    guide.house.create(LONG, full_name=LONG.title(), roles=("records", "billing"))
    guide.house.create("nameless", email=None, full_name=None)
    guide.house.administration.disable(guide.house.account(LONG), OPERATOR, now=guide.house.now)
    for number in range(60):
        guide.house.create(f"many{number:02}", password=None)
    visitor.open("/admin/accounts?q=many")
    visitor.open(next(link for link in visitor.read().links if "cursor=" in link))
    visitor.open("/admin/accounts")
    visitor.open("/admin/accounts?q=maxi&state=disabled")
    visitor.open("/admin/accounts?q=zz&factor=totp")
    visitor.open("/admin/accounts?role=nobody")
    visitor.open("/admin/accounts?cursor=old")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(account_listing, "_CHUNK", 3)
        patched.setattr(account_listing, "_CHUNKS", 2)
        visitor.open("/admin/accounts?role=billing")


def one_account(guide: Guide) -> None:
    """Accounts with nothing, with everything, stopped, changed behind our back, and the own."""
    visitor, own = admin(guide)
    bare = guide.person(email=None, full_name=None, password=None)
    visitor.open(of(guide, bare))
    write(guide, "DELETE FROM event WHERE subject_id = :id", id=guide.house.account(bare).subject)
    visitor.open(of(guide, bare))
    visitor.open(of(guide, own))
    _, name = with_mailed_codes(guide, signed_in=True)
    phone = enroll(guide.house, name)
    again = guide.stranger()
    again.sign_in(name)
    again.open("/login/totp")
    code = phone.code(guide.house.now)
    again.send("/login/totp", answer=code, trust_device="yes")
    visitor.open(of(guide, name))
    guesser = guide.stranger()
    guesser.sign_in(name)
    guesser.open("/login/totp")
    guesser.send("/login/totp", answer="000000")
    for tries in (12, 100):
        write(guide, "UPDATE throttle SET in_a_row = :n WHERE rule = 'second_factor'", n=tries)
        visitor.open(of(guide, name))
    write(guide, "UPDATE throttle SET in_a_row = 0")
    unconfirmed = guide.person(is_email_verified=False)
    visitor.open(of(guide, unconfirmed))
    work, now = guide.house.policy_administration, guide.house.now
    policies = (
        Policy(For.EVERYONE, "", Acr.AAL2, now + timedelta(days=400)),
        Policy(For.ROLE, "safe", Acr.PHR, now + timedelta(days=20)),
        Policy(For.ROLE, "now", Acr.AAL2, now),
        Policy(For.ROLE, "key", Acr.PHR, now),
        Policy(
            For.ROLE,
            "loose",
            Acr.AAL1,
            now,
            ("totp", "passkey"),
            trusts_devices=True,
            reminds=False,
        ),
        Policy(For.ACCOUNT, guide.house.account(bare).subject, Acr.AAL2, now),
    )
    for one in policies:
        assert work.set_policy(one, OPERATOR, now=now) == one
    for role in ("other", "safe", "now", "key", "loose"):
        visitor.open(of(guide, guide.person(roles=(role,))))
    visitor.open("/admin/policies")
    for one in policies:
        visitor.open(f"/admin/policies/set?target={one.target}")
    visitor.open(f"/admin/policies/remove?target={policies[5].target}")
    for one in policies:
        work.remove_policy(one.kind, one.name, OPERATOR, now=now)
    guide.house.create("waits")
    enroll(guide.house, "waits")
    waits = guide.house.account("waits")
    guide.house.factor_administration.reset(waits, OPERATOR, now=guide.house.now)
    visitor.open(of(guide, "waits"))
    visitor.open("/admin/accounts?state=awaits_enrollment")
    subject = guide.house.account(name).subject
    write(guide, "UPDATE subject SET seal = :seal WHERE id = :id", seal=b"x", id=subject)
    visitor.open(of(guide, name))
    visitor.open("/admin/accounts/nobody")


def actions(guide: Guide) -> None:
    """Every question with its consequences, what is refused of it, and what is done."""
    visitor, own = admin(guide)
    _, other = admin(guide)
    _, name, enrolled = guide.enrolled()
    again = guide.stranger()
    guide.house.clock.advance(seconds=30)
    again.sign_in(name)
    code = enrolled.phone.code(guide.house.now)
    again.send("/login/totp", answer=code, trust_device="yes")
    everything = ("unlock", "name", "email", "reset", "roles", "disable", "delete", "end_sessions")
    for action in everything:
        visitor.open(of(guide, name, action))
    visitor.open(of(guide, guide.person(email=None), "email"))
    wrong = (
        ("name", {"why": "x" * 300}),
        ("name", {"full_name": "a\x07b"}),
        ("email", {"email": "nonsense"}),
        ("email", {"email": f"{own}@example.com"}),
        ("email", {"email": f"{name}@example.com"}),
        ("roles", {"roles": "9 x"}),
        ("delete", {"username": "someone else"}),
        ("unlock", {"seen": "0"}),
    )
    for action, typed in wrong:
        visitor.open(of(guide, name, action))
        visitor.send(f"/{action}", **typed)
    done: tuple[tuple[str, dict[str, str]], ...] = (
        ("email", {"email": "new@example.org"}),
        ("cancel_email", {}),
        ("reset", {}),
        ("cancel_reset", {}),
        ("disable", {}),
        ("enable", {}),
    )
    for action, typed in done:
        visitor.open(of(guide, name, action))
        visitor.send(f"/{action}", **typed)
    for number in range(12):
        for action, typed in (("email", {"email": f"o{number}@example.org"}), ("cancel_email", {})):
            visitor.open(of(guide, name, action))
            if any(f"/{action}" in form.action for form in visitor.read().forms):
                visitor.send(f"/{action}", **typed)
    visitor.open(of(guide, other, "reset"))
    visitor.send("/reset")
    third, _ = admin(guide)
    third.open(of(guide, other, "approve_reset"))
    third.send("/approve_reset")
    visitor.open(of(guide, name, "delete"))
    visitor.send("/delete", username=name)


def refused_actions(guide: Guide) -> None:
    """What is not for this person, not from here, too late, or asked for again."""
    visitor, _ = admin(guide)
    name = guide.person()
    visitor.open(of(guide, name, "disable"))
    visitor.send("/disable", csrf="x")
    visitor.open(of(guide, name, "disable"))
    guide.house.clock.advance(minutes=11)
    visitor.send("/disable")
    visitor.send("/reauthenticate/totp", answer="000000")
    for page in ("", "/accounts?q=m", "/policies/set", "/events", "/keys/rotate", "/mail"):
        visitor.open(f"/admin{page}")
    plain, _ = guide.inside()
    plain.open("/admin")
    bare, _ = guide.inside(roles=("admin",))
    bare.open("/admin")


def inviting(guide: Guide) -> None:
    """Invitations that are sent, refused, repeated and revoked, over two pages."""
    visitor, own = admin(guide)
    visitor.open("/admin/invitations/new")
    wrong = (
        {"username": "a b@c", "email": "new@example.com"},
        {"username": "new", "email": "nonsense"},
        {"username": own, "email": "new@example.com"},
        {"username": "new", "email": "new@example.com", "full_name": "x" * 300},
        {"username": "new", "email": "new@example.com", "full_name": "", "roles": "9 x"},
    )
    for typed in wrong:
        visitor.send("/new", **typed)
    for number in range(12):
        visitor.open("/admin/invitations/new")
        visitor.send("/new", username="often", email="often@example.com", days="1")
        del number
    subject = guide.house.account("often").subject
    visitor.open(f"/admin/invitations/new?again={subject}")
    visitor.open(f"/admin/invitations/{subject}/revoke")
    for number in range(52):
        visitor.open("/admin/invitations/new")
        visitor.send("/new", username=f"in{number}", email=f"in{number}@example.com", full_name="")
    guide.house.administration.change(
        guide.house.account("in51"), OPERATOR, full_name="Last One", now=guide.house.now
    )
    visitor.open("/admin/invitations")
    visitor.open(next(link for link in visitor.read().links if "cursor=" in link))
    visitor.open(f"/admin/invitations/{subject}/revoke")
    visitor.send("/revoke")


def setting_policies(guide: Guide) -> None:
    """Every mistake on the way to a policy, whom it hits, and one that is there already."""
    visitor, _ = admin(guide)
    path = "/admin/policies/set"
    visitor.open(path)
    wrong = (
        {"kind": "role", "role": "9 x"},
        {"kind": "account", "user": "nobody"},
        {"since": "soon"},
        {"method_totp": "", "method_passkey": "", "method_email_code": ""},
        {"acr": "phr", "method_passkey": ""},
        {"acr": "phr", "since": ""},
        {"kind": "role", "role": "admin", "reminds": ""},
    )
    for typed in wrong:
        visitor.open(path)
        visitor.send(path, do="look", **typed)
    for reminds in ("on", ""):
        visitor.open(path)
        visitor.send(path, do="look", reminds=reminds)
    visitor.send(path, do="save", seen="x")
    visitor.send(path, do="save")
    visitor.open("/admin")
    visitor.open(f"{path}?target=everyone")
    visitor.send(path, do="look")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("twinlock.flows.policy_preview.COUNTED_AT_ONCE", 0)
        visitor.send(path, do="look", acr="phr", since="2099-01-01")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("twinlock.flows.policy_preview._LOOKS", 0)
        visitor.send(path, do="look", kind="role", role="editor", acr="aal2")
        patched.setattr("twinlock.flows.figures.COUNTED_AT_ONCE", 2)
        visitor.send(path, do="look", kind="everyone")
    visitor.open("/admin/policies/remove?target=everyone")
    visitor.send("/remove")


def events(guide: Guide) -> None:
    """Events with every detail, of accounts that are gone, over pages, and a search that stops."""
    visitor, own = admin(guide)
    gone = guide.house.account(guide.person())
    guide.house.administration.delete(gone, OPERATOR, now=guide.house.now)
    account = guide.house.account(own)
    for _ in range(60):
        happen(guide.house, EventType.LOGIN_DENIED, account, ago=timedelta(0))
    stranger, _ = guide.inside()
    for _ in range(2):
        stranger.open("/admin")
    for query in ("", f"user={gone.subject}", "outcome=denied", "type=access.denied"):
        visitor.open(f"/admin/events?{query}")
    visitor.open(f"/admin/events?user={own}")
    visitor.open(next(link for link in visitor.read().links if "cursor=" in link))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("twinlock.flows.auditing._AT_ONCE", 3)
        patched.setattr("twinlock.flows.auditing._CHUNKS", 2)
        visitor.open("/admin/events?ip=203.0.113.9")


def keys_and_mails(guide: Guide) -> None:
    """Keys of every age and state; mails that wait, left, and were given up for every reason."""
    visitor, own = admin(guide)
    visitor.open("/admin/keys/rotate")
    visitor.send("/rotate")
    visitor.open(next(link for link in visitor.read().links if link.endswith("/retire")))
    visitor.send("/retire")
    visitor.open("/admin/keys/rotate")
    visitor.send("/rotate")
    guide.house.runtime.delivery.close()
    parts, subject = guide.house.runtime.parts, guide.house.account(own).subject
    reasons = (EXPIRED, SEAL_BROKEN, "550 5.1.1 mailbox unavailable", None, None)
    for kind in (Kind.TEST, Kind.INVITATION, Kind.PASSWORD_RECOVERY, Kind.PASSKEY_DUE) * 15:
        letter = Letter(kind, f"{own}@example.com", {"at": "now"})
        parts.database.transaction(
            mailing.post, parts, letter, subject=subject, lifetime=timedelta(days=99),
            now=guide.house.now,
        )  # fmt: skip
    due = parts.database.reading(outbox.list_due, now=guide.house.now, limit=60)
    for mail, why in zip(due, reasons * 12, strict=False):
        if why:
            parts.database.transaction(outbox.give_up, mail, why=why, now=guide.house.now)
    write(guide, "UPDATE outbox SET error = '421 try later', subject_id = NULL WHERE id = :id",
          id=due[3].id)  # fmt: skip
    for state in ("", "waiting", "given_up"):
        visitor.open(f"/admin/mail?state={state}")
    visitor.send("/again")
    visitor.open("/admin/mail")
    visitor.open(next(link for link in visitor.read().links if "cursor=" in link))
    guide.house.clock.advance(days=91)
    late, _ = admin(guide)
    for page in ("", "/keys", "/mail", "/mail?state=given_up"):
        late.open(f"/admin{page}")


def troubles(guide: Guide) -> None:
    """Everything that may need attention, once and many times."""
    visitor, _ = admin(guide)
    person, now = guide.house.account(guide.person()), guide.house.now
    alarms = (EventType.SEAL_BROKEN, EventType.REFRESH_REUSED, EventType.PASSKEY_COPIED,
              EventType.MAIL_GIVEN_UP)  # fmt: skip
    for _ in range(2):
        for alarm in alarms:
            happen(guide.house, alarm, person, ago=timedelta(minutes=1))
        visitor.open("/admin")
    for number in range(5):
        name = guide.person(roles=("admin",) if number < 2 else ())
        visitor.open("/admin")
        visitor.open(of(guide, name, "reset"))
        visitor.send("/reset")
    for days in (30, -1):
        policy = Policy(For.EVERYONE, "", Acr.AAL2, now + timedelta(days=days))
        guide.house.policy_administration.set_policy(policy, OPERATOR, now=now)
        visitor.open("/admin")
    guide.demand_nothing()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("twinlock.flows.figures.COUNTED_AT_ONCE", 2)
        visitor.open("/admin")
        patched.setattr("twinlock.flows.tallying.SETTLED_AFTER", timedelta(hours=-1))
        tallying.count_hours(guide.house.runtime.parts, now=guide.house.now)
        visitor.open("/admin")


CONSOLE_VISITS: Final = (
    a_quiet_house,
    one_account,
    actions,
    finding_accounts,
    refused_actions,
    inviting,
    setting_policies,
    events,
    troubles,
    keys_and_mails,
)


def switched_off(guide: Guide) -> None:
    """An installation that sends no mail and invites nobody."""
    visitor, _ = admin(guide)
    object.__setattr__(guide.house.runtime.parts, "mail", None)  # as in production without a server
    for page in ("invitations", "invitations/new", "mail", "policies/set"):
        visitor.open(f"/admin/{page}")
    assert PASSWORD not in visitor.text
