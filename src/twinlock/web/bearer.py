"""The bearer token of an ``Authorization`` header (RFC 6750 section 2.1)."""

from typing import Final

_SCHEME: Final = b"bearer "


def bearer_token(header: bytes) -> str | None:
    """Return the token, or None where the header is of another scheme."""
    if header[:7].lower() != _SCHEME:
        return None
    return header[7:].decode("latin-1").strip()
