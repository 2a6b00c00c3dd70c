"""What the mails say, and how a letter becomes a message that nothing from outside can bend.

Texts are data, and no template language reads them: a value stands where its name stood, once,
and is escaped in HTML. Headers are written by `email`, which refuses line breaks in them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING, Final

from twinlock.core.languages import RIGHT_TO_LEFT, SOURCE
from twinlock.mail.mailbox import address_of
from twinlock.mail.values import shown
from twinlock.mail.words import translated

if TYPE_CHECKING:
    from email.message import EmailMessage

_LINK: Final = "{link}"
_CODE: Final = "{code}"
_NOT_ME: Final = "{not_me}"
_LINKS: Final = frozenset({_LINK, _NOT_ME})
_GREETING: Final = "Hello {username},"
_GREETING_TO_NOBODY: Final = "Hello,"


class Kind(StrEnum):
    """The mails there are. Each has a cap of its own for an account and a day."""

    PASSWORD_RECOVERY = "password_recovery"
    EMAIL_CONFIRMATION = "email_confirmation"
    EMAIL_CHANGE_BEGUN = "email_change_begun"
    EMAIL_CHANGE_STAGED = "email_change_staged"
    EMAIL_CHANGED = "email_changed"
    PASSWORD_CHANGED = "password_changed"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTOR_RESET_REQUESTED = "factor_reset_requested"
    FACTORS_RESET = "factors_reset"
    RECOVERY_CODES_CREATED = "recovery_codes_created"
    RECOVERY_CODE_USED = "recovery_code_used"
    WRONG_SECOND_FACTOR = "wrong_second_factor"
    NEW_DEVICE = "new_device"
    DEVICE_TRUSTED = "device_trusted"
    SIGN_IN_CODE = "sign_in_code"
    INVITATION = "invitation"
    REGISTRATION = "registration"
    ALREADY_REGISTERED = "already_registered"
    SECOND_FACTOR_DUE = "second_factor_due"
    PASSKEY_DUE = "passkey_due"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as it is kept until it is delivered: whom, which one, and what it names."""

    kind: Kind
    to: str = field(repr=False)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def packed(self) -> bytes:
        """Return it as bytes, to be sealed."""
        return json.dumps({"kind": self.kind, "to": self.to, "values": dict(self.values)}).encode()

    @classmethod
    def unpacked(cls, packed: bytes) -> "Letter":
        """Return what `packed` gave."""
        given = json.loads(packed)
        return cls(Kind(given["kind"]), given["to"], given["values"])


@dataclass(frozen=True, slots=True)
class _Text:
    subject: str
    paragraphs: tuple[str, ...]


_NOT_YOU: Final = (
    "If this was not you, somebody else is in your account: here you sign them out and set a new "
    "password."
)
_DUE_LATER: Final = "Who has none by then is asked to set one up at the next sign-in."
_TEXTS: Final[Mapping[Kind, _Text]] = {
    Kind.PASSWORD_RECOVERY: _Text(
        "{service}: set a new password",
        (
            (
                "Somebody asked to set a new password for your account {username}. Until {until} "
                "you can do so here:"
            ),
            _LINK,
            (
                "If it was not you, do nothing: the link alone changes nothing, and your password "
                "and your second factor stay what they are."
            ),
        ),
    ),
    Kind.EMAIL_CONFIRMATION: _Text(
        "{service}: confirm this e-mail address",
        (
            (
                "The account {username} is to have this e-mail address. Until {until} you can "
                "confirm that here:"
            ),
            _LINK,
            "If you did not ask for it, do nothing.",
        ),
    ),
    Kind.EMAIL_CHANGE_BEGUN: _Text(
        "{service}: your e-mail address is about to change",
        (
            (
                "Your account {username} is to have another e-mail address. If this was not you, "
                "stop it here, and then set a new password:"
            ),
            _LINK,
            "The link works until the change takes hold.",
        ),
    ),
    Kind.EMAIL_CHANGE_STAGED: _Text(
        "{service}: your e-mail address is about to change",
        (
            (
                "At {at} an administrator asked that your account {username} get another e-mail "
                "address, not before {due}. If you did not ask for it, stop it here:"
            ),
            _LINK,
            "The link works until the change takes hold.",
        ),
    ),
    Kind.EMAIL_CHANGED: _Text(
        "{service}: your e-mail address was changed",
        (
            "Since {at} your account {username} has another e-mail address than this one.",
            "If this was not you, write to whoever runs {service}.",
        ),
    ),
    Kind.PASSWORD_CHANGED: _Text(
        "{service}: your password was changed",
        ("The password of your account {username} was changed at {at}.", _NOT_YOU, _NOT_ME),
    ),
    Kind.FACTOR_ADDED: _Text(
        "{service}: a second factor was added",
        (
            "At {at} your account {username} got a second factor: {label} ({method}).",
            _NOT_YOU,
            _NOT_ME,
        ),
    ),
    Kind.FACTOR_REMOVED: _Text(
        "{service}: a second factor was removed",
        (
            "At {at} a second factor of your account {username} was removed: {label} ({method}).",
            _NOT_YOU,
            _NOT_ME,
        ),
    ),
    Kind.FACTOR_RESET_REQUESTED: _Text(
        "{service}: your second factors are about to be removed",
        (
            (
                "At {at} an administrator asked that all second factors and recovery codes of "
                "your account {username} be removed, not before {due}. If you did not ask for it, "
                "stop it here:"
            ),
            _LINK,
            (
                "The link works until the factors are removed. After that you get another mail, "
                "whose link enrolls a new one."
            ),
        ),
    ),
    Kind.FACTORS_RESET: _Text(
        "{service}: your second factors were removed",
        (
            (
                "At {at} an administrator removed all second factors and recovery codes of your "
                "account {username}. Your password alone opens nothing now. Until {until} you can "
                "enroll a new second factor, with your password and this link, which works once:"
            ),
            _LINK,
            "If you did not ask for it, write to whoever runs {service}.",
        ),
    ),
    Kind.RECOVERY_CODES_CREATED: _Text(
        "{service}: new recovery codes",
        (
            (
                "At {at} new recovery codes were made for your account {username}. The old ones no "
                "longer work."
            ),
            _NOT_YOU,
            _NOT_ME,
        ),
    ),
    Kind.RECOVERY_CODE_USED: _Text(
        "{service}: a recovery code was used",
        (
            "At {at} a recovery code of your account {username} was used. Each works once.",
            _NOT_YOU,
            _NOT_ME,
        ),
    ),
    Kind.WRONG_SECOND_FACTOR: _Text(
        "{service}: a sign-in was refused",
        (
            (
                "At {at} somebody gave the right password of your account {username}, and a wrong "
                "code. They were not let in."
            ),
            "If this was not you, somebody knows your password: set a new one.",
            _NOT_ME,
        ),
    ),
    Kind.NEW_DEVICE: _Text(
        "{service}: a sign-in from a new place",
        (
            (
                "At {at} your account {username} was signed in to from a device and a network that "
                "it was not used from before: {address}."
            ),
            _NOT_YOU,
            _NOT_ME,
        ),
    ),
    Kind.DEVICE_TRUSTED: _Text(
        "{service}: a browser is remembered",
        (
            (
                "At {at} a browser was remembered for your account {username}. Until {until} the "
                "password alone signs in there."
            ),
            _NOT_YOU,
            _NOT_ME,
        ),
    ),
    Kind.SIGN_IN_CODE: _Text(
        "{service}: your code",
        (
            "The code for your account {username} is:",
            _CODE,
            (
                "Until {until} it works once, where it was asked for. Give it to nobody, and type "
                "it nowhere but at {service}."
            ),
            "If you did not ask for it, somebody knows your password: set a new one.",
        ),
    ),
    Kind.INVITATION: _Text(
        "{service}: you are invited",
        (
            (
                "You are invited to {service}. Your user name is {username}. Until {until} you can "
                "choose a password here:"
            ),
            _LINK,
            "If you do not know what this is about, do nothing.",
        ),
    ),
    Kind.REGISTRATION: _Text(
        "{service}: your registration",
        (
            (
                "Somebody wants to register with this e-mail address. Until {until} you can go on "
                "here:"
            ),
            _LINK,
            "If it was not you, do nothing: no account is made.",
        ),
    ),
    Kind.ALREADY_REGISTERED: _Text(
        "{service}: your registration",
        (
            (
                "Somebody wants to register with this e-mail address, and you have an account with "
                "it: {username}. You can sign in, or set a new password, here:"
            ),
            _LINK,
            "If it was not you, do nothing: your account stays what it is.",
        ),
    ),
    Kind.SECOND_FACTOR_DUE: _Text(
        "{service}: set up a second factor before {due}",
        (
            (
                "From {due} on, your account {username} opens only with a second factor. Sign in "
                "and set one up before:"
            ),
            _LINK,
            _DUE_LATER,
        ),
    ),
    Kind.PASSKEY_DUE: _Text(
        "{service}: set up a passkey before {due}",
        (
            (
                "From {due} on, your account {username} opens only with a passkey. Sign in and set "
                "one up before:"
            ),
            _LINK,
            _DUE_LATER,
        ),
    ),
    Kind.TEST: _Text(
        "{service}: this is a test",
        ("If you can read this, {service} can send mail. It was sent at {at}.",),
    ),
}


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What every mail of an installation has in common.

    Attributes:
        mail_from: The sender, as an address or as ``Name <address>``.
        link_base: What links begin with: the base URL and the prefix of our routes.
        language: Of letters to whom has chosen none.
    """

    service: str
    mail_from: str
    link_base: str
    language: str = SOURCE

    def link(self, *segments: str) -> str:
        """Return the link to a page, whose last segment may be a token."""
        return "/".join((self.link_base, *segments))

    def message(self, letter: Letter, *, message_id: str, now: datetime) -> "EmailMessage":
        """Return the message: text, and the same as HTML.

        Args:
            message_id: The same at every attempt, so that a mail delivered twice is one.

        Raises:
            ValueError: A header would have a line break.
        """
        from email.message import EmailMessage
        from email.policy import SMTP
        from email.utils import format_datetime

        not_me = self.link("not-me")
        told = {name: shown(name, value) for name, value in letter.values.items()}
        values = {**told, "service": self.service, "not_me": not_me}
        language = letter.values.get("language") or self.language
        text = _TEXTS[letter.kind]
        message = EmailMessage(policy=SMTP)
        message["From"] = self.mail_from
        message["To"] = letter.to
        message["Subject"] = translated(text.subject, language).format_map(values)
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{message_id}@{_domain(self.mail_from)}>"
        message["Auto-Submitted"] = "auto-generated"
        greeting = _GREETING if values.get("username") else _GREETING_TO_NOBODY
        paragraphs = [translated(one, language) for one in (greeting, *text.paragraphs)]
        plain = "\n\n".join(paragraph.format_map(values) for paragraph in paragraphs)
        message.set_content(f"{plain}\n", cte="quoted-printable")
        message.add_alternative(
            _as_html(paragraphs, values, language), "html", cte="quoted-printable"
        )
        message["Content-Language"] = language  # set earlier, it would move into a part
        return message


def texts() -> Iterator[str]:
    """Give every text to be translated; links are none."""
    yield from (_GREETING, _GREETING_TO_NOBODY)
    for text in _TEXTS.values():
        yield from (one for one in (text.subject, *text.paragraphs) if one not in (*_LINKS, _CODE))


def sentence_of(moment: datetime) -> str:
    """Return a moment as mails say it."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _as_html(paragraphs: list[str], values: Mapping[str, str], language: str) -> str:
    escaped = {name: escape(value) for name, value in values.items()}
    body = "\n".join(f"<p>{_marked(paragraph, escaped)}</p>" for paragraph in paragraphs)
    direction = ' dir="rtl"' if language in RIGHT_TO_LEFT else ""
    return (
        f'<!doctype html>\n<html lang="{language}"{direction}>\n<head><meta charset="utf-8">'
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _marked(paragraph: str, escaped: Mapping[str, str]) -> str:
    if paragraph in _LINKS:
        link = escaped[paragraph.strip("{}")]
        return f'<a href="{link}">{link}</a>'
    return escape(paragraph, quote=False).format_map(escaped)


def _domain(mail_from: str) -> str:
    return address_of(mail_from).rpartition("@")[2] or "localhost"
