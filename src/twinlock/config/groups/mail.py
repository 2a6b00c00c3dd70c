"""Settings, *Mail*: the mail server, and everything that is done by mail."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from twinlock.config import values
from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import DAY, HOUR, MINUTE, Duration


class MailSettings(SettingsGroup):
    """The mail server, and everything that is done by mail."""

    heading = "Mail"

    smtp_url: Annotated[SecretStr, AfterValidator(values.read_smtp_url)] | None = setting(
        None,
        "The mail server, user and password included: `smtps://` from the first byte, `smtp://` "
        "with STARTTLS. Without it no mail is sent; in development mails become files in the data "
        "folder.",
        example="smtps://user:password@mail.example.com",
    )
    mail_from: Annotated[str, AfterValidator(values.read_mail_from)] = setting(
        description="The sender of mails: an address, or a name and an address.",
        example="Example <no-reply@example.com>",
        follows=lambda above: f"no-reply@{_mail_host(above['base_url'])}",
        default_text="`no-reply@<host of the base URL>`",
    )
    mail_links: Annotated[str, AfterValidator(values.read_link_base)] | None = setting(
        None,
        "What mailed links begin with, where pages of your own take them: an address, with a path "
        "if there is one.",
        example="https://app.example.com/account",
        default_text="the base URL and the prefix of our routes, where our pages take them",
    )
    mails_24h: int = setting(
        5,
        "Mails of one kind to one account in any 24 hours; the last one is left to browsers that "
        "signed in before.",
        example="10",
        unit="mails",
        ge=2,
        le=100,
    )
    email_codes_enabled: bool = setting(
        False,
        "Whether accounts may enroll their mailbox as a second factor. A mailbox is weaker than "
        "an authenticator app, and a sign-in with its code can be relayed.",
        example="true",
    )
    email_codes_24h: int = setting(
        20,
        "Codes by mail for one account in any 24 hours; the last one is left to browsers that "
        "signed in before.",
        example="10",
        unit="mails",
        ge=2,
        le=100,
    )
    email_code_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How long a mailed code may be used, if what it was sent for lives so long.",
        example="PT5M",
        ge=MINUTE,
        le=timedelta(minutes=10),
    )
    invitations_enabled: bool = setting(
        False,
        "Whether admins may invite people, who choose their first password by a mailed link.",
        example="true",
    )
    invitation_lifetime: Duration = setting(
        timedelta(days=7),
        "How long an invitation may be accepted.",
        example="P2D",
        ge=HOUR,
        le=timedelta(days=30),
    )
    registration_enabled: bool = setting(
        False,
        "Whether everybody may make an account with an address whose mails they read.",
        example="true",
    )
    recovery_requests_network_1h: int = setting(
        100,
        "Requests for a new password, and requests to register, from one network in any hour.",
        example="500",
        unit="requests",
        ge=1,
        le=1_000,
    )
    recovery_link_lifetime: Duration = setting(
        timedelta(minutes=30),
        "How long a mailed link sets a forgotten password.",
        example="PT15M",
        ge=timedelta(minutes=5),
        le=DAY,
    )
    email_link_lifetime: Duration = setting(
        timedelta(hours=24),
        "How long a mailed link confirms or cancels a change of the e-mail address.",
        example="PT1H",
        ge=timedelta(minutes=5),
        le=timedelta(days=7),
    )


def _mail_host(base_url: str) -> str:
    """Return the host for an e-mail address, IPv6 as RFC 5321 section 4.1.3 spells it."""
    host = values.host_of(base_url)
    return f"[IPv6:{host}]" if ":" in host else host
