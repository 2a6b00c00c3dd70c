"""HTTP/1.1 with an end to request headers, which uvicorn's faster parser does not set itself."""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES: Final = 65_536


class BoundedHttp(HttpToolsProtocol):
    """Answers 400 and hangs up when request line and headers do not end in time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaits_headers = False
        self._has_just_begun = False
        self._header_bytes = 0

    def on_message_begin(self) -> None:
        """Count anew, from the next read on: in this one there may be more than one message."""
        super().on_message_begin()
        self._awaits_headers = self._has_just_begun = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        """Stop counting: the routes bound their bodies themselves."""
        self._awaits_headers = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse, then count what did not end the headers."""
        self._has_just_begun = False
        super().data_received(data)
        if self._awaits_headers and not self._has_just_begun:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")
