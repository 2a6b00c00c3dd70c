"""What the fields of a record mean: from names that other programs use to an account of ours."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from twinlock.accounts.password_check import NewHash
from twinlock.accounts.passwords import problem_with_hash, scheme_of
from twinlock.accounts.roles import MAX_ROLES, role_problem
from twinlock.cli.import_files import COMPUTED, Found
from twinlock.cli.lookup import full_name_problem
from twinlock.factors.totp import otpauth
from twinlock.flows.account_making import NewAccount

_HASHES: Final = ("hashed_password", "password_hash", "password")
_SECRETS: Final = ("otp_secret", "totp_secret", "otp_base32", "otp", "secret")
_URIS: Final = ("otpauth", "otpauth_uri", "otpauth_url", "otp_uri", "totp_uri", "otp_auth_url")
_DIGITS: Final = ("digits", "otp_digits")
_PERIODS: Final = ("period", "interval", "otp_period", "otp_interval")
_ALGORITHMS: Final = ("algorithm", "digest", "otp_algorithm")
_SWITCHES: Final = ("otp_enabled", "totp_enabled")
_KNOWN: Final = frozenset(
    {"username", "email", "full_name", "disabled", "is_active", "roles", "role"}
    | {*_HASHES, *_SECRETS, *_URIS, *_DIGITS, *_PERIODS, *_ALGORITHMS, *_SWITCHES}
)
_SECOND_FACTOR: Final = re.compile(r"otp|2fa|mfa|two_?factor", re.IGNORECASE)
_TRUTHS: Final = {
    "true": True, "1": True, "yes": True, "t": True, "y": True, "on": True,
    "false": False, "0": False, "no": False, "f": False, "n": False, "off": False, "": False,
}  # fmt: skip

_PROBLEMS: Final = {
    otpauth.Problem.NOT_OTPAUTH: "it is no otpauth:// URI",
    otpauth.Problem.NOT_TOTP: "it is not for TOTP",
    otpauth.Problem.TOO_LONG: "it is too long",
    otpauth.Problem.REPEATED_PARAMETER: "it names a parameter twice",
    otpauth.Problem.SECRET_MISSING: "it holds no secret",
    otpauth.Problem.SECRET_NOT_BASE32: "it is not base32",
    otpauth.Problem.KEY_TOO_SHORT: f"the key is shorter than {otpauth.MIN_KEY_BYTES} bytes",
    otpauth.Problem.KEY_TOO_LONG: f"the key is longer than {otpauth.MAX_KEY_BYTES} bytes",
    otpauth.Problem.ALGORITHM_NOT_SUPPORTED: "the algorithm is none of SHA1, SHA256, SHA512",
    otpauth.Problem.DIGITS_NOT_SUPPORTED: "the codes have neither six, seven nor eight digits",
    otpauth.Problem.PERIOD_NOT_SUPPORTED: (
        f"the period is not between {otpauth.MIN_PERIOD.seconds} and "
        f"{otpauth.MAX_PERIOD.seconds} seconds"
    ),
}


@dataclass(frozen=True, slots=True)
class Record:
    """An account as a file describes it.

    Attributes:
        uri: Its authenticator as an ``otpauth`` URI.
        ignored: The fields that mean nothing here.
    """

    new: NewAccount
    uri: str | None
    ignored: frozenset[str]


class RecordError(Exception):
    """The record cannot be taken over; the message says why, without any value of it."""


def understand(found: Found, *, allow_no_password: bool) -> Record:
    """Return what a record says.

    Raises:
        RecordError: It cannot be taken over as it is.
    """
    fields = found.fields
    uri = _authenticator(fields)
    ignored = frozenset(fields) - _KNOWN
    if uri is None:
        _refuse_lost_factor(fields, ignored)
    new = NewAccount(
        username=_username(found),
        email=_text(fields, "email"),
        full_name=_full_name(fields),
        roles=_roles(fields),
        password=_hash(fields, allow_none=allow_no_password),
        is_disabled=_is_disabled(fields),
    )
    return Record(new, uri, ignored)


def name_of(found: Found) -> str | None:
    """Return what a record is called in a report, whether it can be taken over or not."""
    given = found.fields.get("username")
    return given if isinstance(given, str) else found.name


def _username(found: Found) -> str:
    username = _text(found.fields, "username") or found.name
    if not username:
        raise RecordError("It has no user name.")
    if found.name is not None and found.name != username:
        raise RecordError("It stands under another name than its `username`.")
    return username


def _full_name(fields: Mapping[str, Any]) -> str | None:
    full_name = _text(fields, "full_name")
    if full_name and (problem := full_name_problem(full_name)):
        raise RecordError(problem)
    return full_name


def _roles(fields: Mapping[str, Any]) -> tuple[str, ...]:
    given = fields.get("roles", fields.get("role"))
    match given:
        case None:
            return ()
        case str():
            roles = [role for role in re.split(r"[\s,;]+", given) if role]
        case list() | tuple() if all(isinstance(role, str) for role in given):
            roles = list(given)
        case _:
            raise RecordError("The field `roles` is no list of texts.")
    if len(roles) > MAX_ROLES:
        raise RecordError(f"It has more than {MAX_ROLES} roles.")
    if problem := next(filter(None, map(role_problem, roles)), None):
        raise RecordError(problem)
    return tuple(dict.fromkeys(roles))


def _hash(fields: Mapping[str, Any], *, allow_none: bool) -> NewHash | None:
    name, stored = _first(fields, _HASHES)
    if stored is None:
        if allow_none:
            return None
        raise RecordError("It has no password hash; --allow-no-password takes it over without.")
    if problem := problem_with_hash(stored):
        in_clear = " A password in the clear is never imported." if name == "password" else ""
        raise RecordError(f"Its `{name}` cannot be used: {problem}.{in_clear}")
    return NewHash(stored, scheme_of(stored))


def _is_disabled(fields: Mapping[str, Any]) -> bool:
    if "disabled" in fields:
        return _truth(fields, "disabled")
    return "is_active" in fields and not _truth(fields, "is_active")


def _authenticator(fields: Mapping[str, Any]) -> str | None:
    """Return the authenticator as one URI; None if there is none, or it was never switched on."""
    if any(name in fields and not _truth(fields, name) for name in _SWITCHES):
        return None
    name, given = _first(fields, (*_URIS, *_SECRETS))
    if given is None:
        return None
    uri = given if given.strip().lower().startswith("otpauth:") else _uri(name, given, fields)
    parsed = otpauth.parse_uri(uri)
    if isinstance(parsed, otpauth.Problem):
        raise RecordError(f"Its `{name}` cannot be used: {_PROBLEMS[parsed]}.")
    _refuse_other_secret(fields, parsed.key)
    return uri


def _uri(name: str, secret: str, fields: Mapping[str, Any]) -> str:
    """Return the URI of a secret in base32 and the parameters beside it."""
    if name in _URIS:
        raise RecordError(f"Its `{name}` cannot be used: it is no otpauth:// URI.")
    query = {"secret": secret}
    for parameter, names in {
        "digits": _DIGITS,
        "period": _PERIODS,
        "algorithm": _ALGORITHMS,
    }.items():
        _, value = _first(fields, names, or_number=True)
        if value is not None:
            query[parameter] = value
    return f"otpauth://totp/imported?{urlencode(query, quote_via=quote, errors='replace')}"


def _refuse_other_secret(fields: Mapping[str, Any], key: bytes) -> None:
    """Refuse two secrets: taking the first would lock out whose phone shows the second."""
    for name in (*_URIS, *_SECRETS):
        given = _text(fields, name)
        if given is None:
            continue
        parsed = otpauth.parse_uri(given)
        other = parsed.key if isinstance(parsed, otpauth.Parsed) else otpauth.parse_secret(given)
        if other != key:
            raise RecordError("It has several secrets of authenticators, and they differ.")


def _refuse_lost_factor(fields: Mapping[str, Any], ignored: Iterable[str]) -> None:
    """Refuse to take an account over without the second factor that it seems to have had."""
    for name in sorted(ignored):
        if _SECOND_FACTOR.search(name) and fields[name] not in (None, "", False, 0, "false", "0"):
            raise RecordError(
                f"Its field `{name}` seems to be about a second factor, and is not understood. "
                "Name the secret `otp_secret`, or take the field out."
            )


def _first(
    fields: Mapping[str, Any], names: Iterable[str], *, or_number: bool = False
) -> tuple[str, str | None]:
    """Return the first of several fields that holds something, and what."""
    name = ""
    for name in names:
        given = fields.get(name)
        if or_number and type(given) is int:
            return name, str(given)
        text = _text(fields, name)
        if text is not None:
            return name, text
    return name, None


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a field's text without surrounding spaces; None if it is missing or empty."""
    given = fields.get(name)
    if given is COMPUTED:
        raise RecordError(f"Its `{name}` is computed by the program, which is never run.")
    if given is None:
        return None
    if not isinstance(given, str):
        raise RecordError(f"Its `{name}` is no text.")
    return given.strip() or None


def _truth(fields: Mapping[str, Any], name: str) -> bool:
    given = fields[name]
    if given is COMPUTED:
        raise RecordError(f"Its `{name}` is computed by the program, which is never run.")
    if given is None:
        return False
    truth = _TRUTHS.get(str(given).strip().lower())
    if truth is None:
        raise RecordError(f"Its `{name}` is neither true nor false.")
    return truth
