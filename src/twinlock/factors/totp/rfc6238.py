"""TOTP as RFC 6238 has it: from a key and a moment to a code, and back to the time step."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

Algorithm = Literal["sha1", "sha256", "sha512"]
"""RFC 6238 section 1.2; every authenticator app knows the first, some ignore the others."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTER_MASK: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Params:
    """What key and moment are combined with.

    Attributes:
        digits: Length of a code, 6 to 8.
        period: Length of a time step.
        algorithm: Hash of the HMAC.
    """

    digits: int = 6
    period: timedelta = timedelta(seconds=30)
    algorithm: Algorithm = "sha1"


DEFAULTS: Final = Params()
"""What every authenticator app understands."""


def hotp(key: bytes, counter: int, params: Params = DEFAULTS) -> str:
    """Return the code of a counter (RFC 4226 section 5.3).

    Args:
        key: Shared secret, 16 bytes or more (RFC 4226 section 4, R6).
        counter: Its lowest 64 bits count, so that a clock before 1970 gives a code too.
        params: How many digits, and of which HMAC.
    """
    mac = hmac.digest(key, (counter & _COUNTER_MASK).to_bytes(8, "big"), params.algorithm)
    offset = mac[-1] & 0x0F
    truncated = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(truncated % 10**params.digits).zfill(params.digits)


def totp(key: bytes, *, at: datetime, params: Params = DEFAULTS) -> str:
    """Return the code that an authenticator app shows at a moment (RFC 6238 section 4.2)."""
    return hotp(key, time_step(at, params), params)


def time_step(at: datetime, params: Params = DEFAULTS) -> int:
    """Return the number of whole periods since 1970, negative before (RFC 6238 section 4.2)."""
    return (at - _EPOCH) // params.period


def matching_step(
    key: bytes,
    code: str,
    *,
    now: datetime,
    after: int = -1,
    params: Params = DEFAULTS,
    window: int = 1,
) -> int | None:
    """Return the time step that *code* belongs to, or None if it fits none.

    Every step of the window is computed and compared, whatever matched before. Where one
    code fits two steps the later is returned: spending it spends the code for both.

    Args:
        key: Shared secret, 16 bytes or more (RFC 4226 section 4, R6).
        code: What the person typed, normalised to ASCII digits.
        now: The verifier's time; timezone-aware.
        after: The last step already spent. Only later steps match, so that a
            code is accepted once (RFC 6238 section 5.2).
        params: Those of the key.
        window: Steps accepted on either side of the present one (RFC 6238 section 5.2
            recommends at most one).
    """
    claimed = code.encode("ascii", "replace")
    present = time_step(now, params)
    matched = None
    for step in range(present - window, present + window + 1):
        is_match = hmac.compare_digest(hotp(key, step, params).encode("ascii"), claimed)
        if is_match and step > after:
            matched = step
    return matched


def nearest_drift(
    key: bytes, code: str, *, now: datetime, params: Params = DEFAULTS, window: int = 10
) -> int | None:
    """Return how many steps the clock that made *code* is ahead, negative when behind, or None.

    For the hint at enrollment that a clock is off (RFC 6238 section 6); it accepts nothing.
    """
    claimed = code.encode("ascii", "replace")
    present = time_step(now, params)
    drifts = [
        drift
        for drift in range(-window, window + 1)
        if hmac.compare_digest(hotp(key, present + drift, params).encode("ascii"), claimed)
    ]
    return min(drifts, key=abs, default=None)
