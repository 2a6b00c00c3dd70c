"""A wire to PostgreSQL that can be cut between a COMMIT and its answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

COMMIT = b"COMMIT\x00"
WAIT_SECONDS = 60


class Wire:
    """Forwards connections to a server's socket; what it cuts, the server has done."""

    def __init__(self, server: Path) -> None:
        self._server = str(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._spared: int | None = None
        self._state = threading.Lock()
        self.cuts = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def cut(self, *, spared: int) -> None:
        """Swallow the answer to a COMMIT and hang up, when *spared* others were let through."""
        with self._state:
            self._spared = spared

    def run(self) -> None:
        """Take connections until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                is_cut = threading.Event()
                threading.Thread(target=self._down, args=(client, server, is_cut)).start()
                threading.Thread(target=self._up, args=(client, server, is_cut)).start()

    def close(self) -> None:
        """Take no more connections; those that stand end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _up(self, client: socket.socket, server: socket.socket, is_cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if COMMIT in data and self._is_chosen():
                    is_cut.set()  # before the server can answer
                server.sendall(data)
        _hang_up(server)

    def _down(self, client: socket.socket, server: socket.socket, is_cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                if is_cut.is_set() and COMMIT in data:
                    self.cuts += 1
                    break
                client.sendall(data)
        _hang_up(client)
        _hang_up(server)

    def _is_chosen(self) -> bool:
        with self._state:
            if self._spared is None:
                return False
            self._spared -= 1
            if self._spared >= 0:
                return False
            self._spared = None
            return True


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextlib.contextmanager
def wire_to(server: Path) -> Iterator[Wire]:
    """Lay a wire to the socket of a PostgreSQL server."""
    wire = Wire(server)
    thread = threading.Thread(target=wire.run)
    thread.start()
    try:
        yield wire
    finally:
        wire.close()
        thread.join(WAIT_SECONDS)
