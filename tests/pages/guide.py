"""Who shows pages around: an installation, people who are strangers to it, and what they have."""

import html
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi.testclient import TestClient

from tests.factors.suite import code_in
from tests.pages.browser import Browser
from tests.pages.gallery import Gallery, Visitor
from tests.support.house import OPERATOR, Enrolled, House, sign_in
from twinlock.core.proof import Acr
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap

NEW_PASSWORD: Final = "a purple bicycle under water"


@dataclass
class Guide:
    """An installation, and people of whom each is a stranger to it."""

    house: House
    client: TestClient
    gallery: Gallery
    language: str = "en"
    _people: list[str] = field(default_factory=list)

    @property
    def trap(self) -> MailTrap:
        """What was mailed."""
        return MailTrap(lambda: self.house.auth)

    def person(self, **given: Any) -> str:
        """Make an account; return its name."""
        name = f"person{len(self._people)}"
        self._people.append(name)
        self.house.create(name, **given)
        return name

    def stranger(self) -> Visitor:
        """Return a browser that nobody has used, somewhere else than all others."""
        self._people.append("")
        number = len(self._people)
        ip = f"192.0.{number // 250}.{number % 250 + 1}"
        return Visitor(self.house, self.gallery, ip=ip, language=self.language)

    def inside(self, **given: Any) -> tuple[Visitor, str]:
        """Sign somebody in who has a password alone."""
        name = self.person(**given)
        visitor = self.stranger()
        visitor.sign_in(name)
        return visitor, name

    def enrolled(self) -> tuple[Visitor, str, Enrolled]:
        """Return somebody who has an authenticator app, signed in with it."""
        name = self.person()
        enrolled = self.house.enroll(self.client, name)
        visitor = self.stranger()
        self.house.clock.advance(seconds=30)
        visitor.sign_in(name)
        visitor.send("/login/totp", answer=enrolled.phone.code(self.house.now))
        return visitor, name, enrolled

    def link(self, name: str) -> str:
        """Return the path of the newest link that was mailed to somebody."""
        return urlsplit(self.trap.link(f"{name}@example.com")).path

    def demand(self, acr: Acr, *, days_ago: int = 1) -> None:
        """Let a policy demand something of everybody."""
        since = self.house.now - timedelta(days=days_ago)
        policy = Policy(Kind.EVERYONE, "", acr, since=since)
        self.house.policy_administration.set_policy(policy, OPERATOR, now=self.house.now)

    def demand_of_role(self, role: str, acr: Acr | None) -> None:
        """Let a policy demand something of those who have a role; nothing with None."""
        work, now = self.house.policy_administration, self.house.now
        if acr is None:
            work.remove_policy(Kind.ROLE, role, OPERATOR, now=now)
        else:
            policy = Policy(Kind.ROLE, role, acr, since=now - timedelta(days=1))
            work.set_policy(policy, OPERATOR, now=now)

    def demand_nothing(self) -> None:
        """Take the policy back."""
        work = self.house.policy_administration
        work.remove_policy(Kind.EVERYONE, "", OPERATOR, now=self.house.now)


def with_mailed_codes(guide: Guide, *, signed_in: bool = False) -> tuple[Visitor, str]:
    """Return somebody who gets codes by mail, with the password step done or signed in."""
    visitor, name = guide.inside()
    visitor.open("/factors/new")
    visitor.send("/factors/email_code")
    visitor.send("/confirm", answer=code_in(guide.trap, f"{name}@example.com"))
    if not signed_in:
        visitor = guide.stranger()
        visitor.sign_in(name)
    return visitor, name


def with_passkey(guide: Guide, *, signed_in: bool = False, aaguid: bytes = bytes(16)) -> Visitor:
    """Return somebody who has a passkey, with the password step done or signed in."""
    name = guide.person()
    device = FakeAuthenticator(aaguid=aaguid)
    guide.house.enroll_passkey(guide.client, device, sign_in(guide.client, name))
    visitor = guide.stranger()
    visitor.sign_in(name)
    if signed_in:
        by_passkey(visitor, name, device)
    return visitor


def by_passkey(visitor: Visitor, name: str, device: FakeAuthenticator) -> None:
    visitor.sign_in(name)
    visitor.send("/login/passkey", answer=answer_of(visitor, device))


def answer_of(visitor: Browser, device: FakeAuthenticator) -> str:
    options = visitor.page.text.split('data-options="')[1].split('"')[0]
    return json.dumps(device.get(json.loads(html.unescape(options))))


def spend(guide: Guide, name: str, code: str) -> None:
    visitor = guide.stranger()
    visitor.sign_in(name)
    visitor.open("/login/recovery_codes")
    visitor.send("/login/recovery_codes", answer=code)
