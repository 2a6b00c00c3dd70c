"""Refresh tokens: derived from the session and a counter, so that none is ever stored.

A token names its session and its place in the family, under a MAC that only the server can
make. The session's row holds the counter of the one that may be used next.

    presented n, current n       Rotate: the counter becomes n + 1
    presented n, current n + 1   Repeat, within the grace: the answer was lost, same child again
    anything else                Reused: a copy is about, so the family and the session end
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from twinlock.core.keyring import Keyring
from twinlock.core.secrets import from_base64url, to_base64url

PREFIX: Final = "tlr_"
"""Lets people and secret scanners tell what they have found."""

_PURPOSE: Final = "refresh"
_SESSION_BYTES: Final = 16
_COUNTER_BYTES: Final = 4
_NAMED_BYTES: Final = _SESSION_BYTES + _COUNTER_BYTES


@dataclass(frozen=True, slots=True)
class Presented:
    """What a genuine refresh token names.

    Attributes:
        counter: Its place in the family, 0 for the first.
    """

    session_id: str
    counter: int


@dataclass(frozen=True, slots=True)
class Rotate:
    """The token is the current one: make *child* current and give it out."""

    child: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """The token's child was given out just now and is unused: give the same one again."""

    child: int


@dataclass(frozen=True, slots=True)
class Reused:
    """The token was spent before: its family ends (RFC 9700 section 4.14.2)."""


def mint(keyring: Keyring, session_id: str, counter: int) -> str:
    """Return the refresh token of a session at *counter*.

    Args:
        session_id: 32 hex digits.
        counter: From 0 to 2**32 - 1.

    Raises:
        ValueError: *session_id* is no id.
        OverflowError: *counter* does not fit.
    """
    session = bytes.fromhex(session_id)
    if len(session) != _SESSION_BYTES:
        raise ValueError("a session id is 32 hex digits")
    place = counter.to_bytes(_COUNTER_BYTES, "big")
    return PREFIX + to_base64url(session + place + keyring.mac(_PURPOSE, session, place))


def parse(keyring: Keyring, token: str) -> Presented | None:
    """Return what *token* names if this server made it, else None; never raises.

    Args:
        token: Any text from outside.
    """
    if not token.startswith(PREFIX):
        return None
    try:
        data = from_base64url(token.removeprefix(PREFIX))
    except ValueError:
        return None
    session, place = data[:_SESSION_BYTES], data[_SESSION_BYTES:_NAMED_BYTES]
    if not keyring.is_mac(data[_NAMED_BYTES:], _PURPOSE, session, place):
        return None
    return Presented(session.hex(), int.from_bytes(place, "big"))


def judge(
    presented_counter: int,
    *,
    current_counter: int,
    rotated_at: datetime,
    now: datetime,
    grace: timedelta,
) -> Rotate | Repeat | Reused:
    """Decide what the use of a genuine token of a living session means.

    Args:
        presented_counter: The place that the token names.
        current_counter: The place that may be used next, as the row says.
        rotated_at: When *current_counter* became current.
        now: The time of the use.
        grace: How long a lost answer is given again; zero for never. A clock that stepped
            back makes it no longer than that.
    """
    if presented_counter == current_counter:
        return Rotate(current_counter + 1)
    is_just_rotated = -grace < now - rotated_at < grace
    if presented_counter == current_counter - 1 and is_just_rotated:
        return Repeat(current_counter)
    return Reused()
