"""What keeps secrets out of spans; needs the extra ``twinlock[otel]``."""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

_TELLTALE: Final = frozenset(
    {"url.path", "url.query", "url.full", "http.target", "http.url", "http.route.path"}
)
_HIDDEN: Final = "-"


class WithoutPaths(SpanProcessor):
    """Hides paths and queries from the moment a span begins; ``http.route`` stays.

    Add it to the tracer provider of an application whose pages are ours: their links carry
    tokens. Attributes of these names that a host adds later are the host's own affair.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Replace what may hold a token."""
        for name in _TELLTALE.intersection(span.attributes or ()):
            span.set_attribute(name, _HIDDEN)

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing: a span that has ended cannot be changed."""
