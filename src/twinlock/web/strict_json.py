"""JSON from outside, read so that nothing in it can surprise the code behind."""

import json
import math
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 16


class NotStrictJsonError(ValueError):
    """The body is not JSON as RFC 8259 and RFC 7493 (I-JSON) have it."""


def loads(body: bytes) -> Any:
    """Return the value of *body*.

    Raises:
        NotStrictJsonError: Not UTF-8, not JSON, nested deeper than 16, a name twice in one
            object, a number that is none, or text that is no valid Unicode.
    """
    if _depth(body) > MAX_DEPTH:
        raise NotStrictJsonError("nested too deeply")
    try:
        text = body.decode("utf-8")
        value = _decoder.decode(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise NotStrictJsonError("not valid JSON") from error
    if "\\u" in text and not _is_unicode(value):
        raise NotStrictJsonError("not valid Unicode in all of its texts")
    return value


def _depth(body: bytes) -> int:
    """Return an upper bound of the nesting: brackets inside strings count as well."""
    opening = body.count(b"[") + body.count(b"{")
    if opening <= MAX_DEPTH:
        return opening
    depth = deepest = 0
    in_string = is_escaped = False
    for byte in body:
        if in_string:
            if is_escaped:
                is_escaped = False
            elif byte == 0x5C:
                is_escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x5B, 0x7B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x5D, 0x7D):
            depth -= 1
    return deepest


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


_decoder = json.JSONDecoder(
    object_pairs_hook=_without_repeats, parse_constant=_refuse_constant, parse_float=_finite
)
