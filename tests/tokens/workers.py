"""What other processes do in these tests; imports little, because each starts anew."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from twinlock.tokens.marks import Marks

INSTALLATION = b"one installation"


def answer_with_marks(connection: Connection, data_dir: Path, shared_memory: Path) -> None:
    """Answer with the mark of the session that is asked for, until told to end."""
    marks = Marks(data_dir, installation=INSTALLATION, shared_memory=shared_memory)
    with connection:
        while request := connection.recv():
            if request == "poll":
                connection.send(marks.refresh_if_replaced())
            else:
                connection.send(marks.read(request))


def open_marks(
    line_up: Callable[[], object], data_dir: Path, session_id: str
) -> tuple[int, int, int]:
    """Open the marks together with others; return the file, and a mark at two moments."""
    line_up()
    marks = Marks(data_dir, installation=INSTALLATION, shared_memory=data_dir / "nowhere")
    assert marks.place is not None
    first = marks.read(session_id)
    line_up()
    return marks.place.stat().st_ino, first, marks.read(session_id)
