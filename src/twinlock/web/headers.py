"""Headers of answers that are added where nothing else has set them."""

from collections.abc import Iterable, Mapping

RawHeaders = list[tuple[bytes, bytes]]


def encoded(headers: Mapping[str, str]) -> RawHeaders:
    """Return headers as ASGI has them."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def with_missing(raw: Iterable[tuple[bytes, bytes]], added: RawHeaders) -> RawHeaders:
    """Return *raw* headers and those of *added* that are not among them."""
    headers = list(raw)
    present = {name.lower() for name, _ in headers}
    headers += [pair for pair in added if pair[0] not in present]
    return headers
