"""A file that the workers of one machine map into memory, to see revocations at once.

It holds 65,536 marks of eight random bytes. A session has the mark that a digest of its id
chooses; several share one. Whoever changes a session writes fresh bytes into its mark after
the commit and before the reply leaves. A worker reads the mark *before* it reads the row,
remembers both, and asks the row again once the mark is another. Marks are compared for
equality only and mean nothing else, so that

- a mark written for another session costs one more look at the row, and nothing worse;
- two writers need no lock: whichever comes second, the mark is not what it was before;
- a read torn between an old and a new mark (none is seen where eight aligned bytes are
  stored at once, as on every 64-bit machine) differs from the old one, too, unless it is the
  old one. Incrementing a counter would lose one of two steps, and could return.

Where no file can be shared the marks are the process's own. Its own revocations are still
seen at once; those of other processes by the poll of the session rows, within a second,
which also heals every mark that was lost to a crash, a full disk or a replaced file.

The file is made whole under another name and then linked to its own, so that racing
processes get one and the same; it is never truncated, replaced or repaired from here.

What remains: reading a mapped page that the file no longer has kills a process (SIGBUS), and
no check before a read can be soon enough. Only our own user and root can truncate the file
(mode 0600); each poll looks at its length and lets go of the mapping if it is another. On a
copy-on-write file system the same can happen to a writer when the disk is full.
"""

import logging
import mmap
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from zlib import crc32

from twinlock.core.secrets import new_id, random_bytes

log = logging.getLogger("twinlock.tokens")

MARKS: Final = 65_536
MARK_BYTES: Final = 8
FILE_BYTES: Final = MARKS * MARK_BYTES
FILE_NAME: Final = "session-marks-1"
"""The number changes with the layout, or with the digest that chooses a mark."""
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the name is unguessable, the owner checked

_LAST_MARK: Final = MARKS - 1
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class _Mapping:
    """Marks in memory, and the file that they are if they are shared.

    The file is unmapped when the last reference to *view* goes. Nothing releases it earlier,
    because another thread may be reading a mark just then.
    """

    view: memoryview
    place: Path | None = None
    device_and_inode: tuple[int, int] = (0, 0)


class Marks:
    """The marks of all sessions; safe to use from any thread and after a fork."""

    def __init__(
        self, data_dir: Path | None, *, installation: bytes, shared_memory: Path = SHARED_MEMORY
    ) -> None:
        """Map the file, making it if there is none; takes private marks where neither works.

        Args:
            data_dir: The data folder, where the file belongs; None if there is none.
            installation: Secret bytes that name this installation and no other. In shared
                memory, where names of all users meet, the file's name is their digest.
            shared_memory: The folder to use where the data folder does not do.
        """
        self._places = _places(data_dir, shared_memory, installation)
        found, reasons = _search(self._places, current=None)
        self._mapping = found or _private()
        self.view = self._mapping.view
        """The marks by their `number_of`, for whoever reads one at each request."""
        self._tell(reasons)

    def __repr__(self) -> str:
        return f"Marks({self.place})"

    @property
    def place(self) -> Path | None:
        """The file that other processes share; None where revocations take up to a second."""
        return self._mapping.place

    def read(self, session_id: str) -> int:
        """Return the mark of a session, to be compared for equality only.

        Read it before the row that it stands for.
        """
        return self.view[number_of(session_id)]

    def bump(self, session_ids: Iterable[str]) -> None:
        """Give sessions fresh marks: after the commit, and before the reply leaves."""
        for session_id in session_ids:
            mark = int.from_bytes(random_bytes(MARK_BYTES), sys.byteorder)
            view = None
            while view is not self.view:  # mapped again meanwhile: write it there, too
                view = self.view
                view[number_of(session_id)] = mark

    def bump_all(self) -> None:
        """Give every session a fresh mark, as a key was retired or a policy changed."""
        view = None
        while view is not self.view:
            view = self.view
            view.cast("B")[:] = random_bytes(FILE_BYTES)

    def refresh_if_replaced(self) -> bool:
        """Map again if the file is another one, of another length, or no longer ours.

        To be called at each poll, from one thread. A file that is gone is made anew; a
        better place than the present one is taken as soon as it works. All marks are others
        afterwards, so that every session is asked again.

        Returns:
            Whether the marks were replaced.
        """
        found, reasons = _search(self._places, current=self._mapping)
        if found is None and (self.place is None or not reasons):
            return False
        self._mapping = found or _private()
        self.view = self._mapping.view
        self._tell(reasons)
        return True

    def close(self) -> None:
        """Let go of the file; reading goes on, of marks that nobody shares."""
        self._places = ()
        self._mapping = _private()
        self.view = self._mapping.view

    def _tell(self, reasons: list[str]) -> None:
        if reasons:
            log.warning("marks_moved", extra={"place": str(self.place), "reasons": reasons})


def number_of(session_id: str) -> int:
    """Return which mark is a session's."""
    return crc32(session_id.encode()) & _LAST_MARK


def _places(data_dir: Path | None, shared_memory: Path, installation: bytes) -> tuple[Path, ...]:
    """Return where the file may lie, the best place first."""
    if os.name != "posix":
        return ()
    name = sha256(b"twinlock/v1/marks" + installation).hexdigest()[:32]
    in_data = () if data_dir is None else (data_dir.absolute() / FILE_NAME,)
    return (*in_data, shared_memory / f"twinlock-{name}")


def _search(
    places: tuple[Path, ...], *, current: _Mapping | None
) -> tuple[_Mapping | None, list[str]]:
    """Return a mapping better than *current*, and why each place before it does not do.

    No mapping and no reason: *current* is the best. No mapping and reasons: no place does.
    """
    reasons: list[str] = []
    for place in places:
        if current is not None and current.place == place and _still_fits(current, place):
            return None, []
        try:
            return _mapped(place), reasons
        except (OSError, ValueError) as error:
            reasons.append(f"{place}: {error}")
    return None, reasons


def _private() -> _Mapping:
    return _Mapping(memoryview(bytearray(random_bytes(FILE_BYTES))).cast("Q"))


def _mapped(place: Path) -> _Mapping:
    """Map the file at *place*, which is made if there is none.

    Raises:
        OSError: It cannot be made, opened or mapped, or is not a file of ours and whole.
        ValueError: It lost its length just now.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = os.open(place, flags)
    except FileNotFoundError:
        _create(place)
        file = os.open(place, flags)
    try:
        found = os.fstat(file)
        if not _is_ours(found, place):
            raise PermissionError("not a whole file of ours")
        view = memoryview(mmap.mmap(file, FILE_BYTES)).cast("Q")
        return _Mapping(view, place, (found.st_dev, found.st_ino))
    finally:
        os.close(file)


def _still_fits(mapping: _Mapping, place: Path) -> bool:
    try:
        found = place.lstat()
    except OSError:
        return False
    is_same = (found.st_dev, found.st_ino) == mapping.device_and_inode
    return is_same and _is_ours(found, place)


def _is_ours(found: os.stat_result, place: Path) -> bool:
    is_closed = stat.S_IMODE(found.st_mode) == _MODE and found.st_uid == _owner(place)
    return is_closed and found.st_size == FILE_BYTES  # no pipe or device has a length


def _owner(place: Path) -> int:
    """Return the user that the file must belong to.

    Our own user; or, for root, who may run a command in another user's data folder, that user.
    """
    return os.geteuid() or place.parent.stat().st_uid


def _create(place: Path) -> None:
    """Make the file, whole and at once; leaves what a rival has made alone.

    Raises:
        OSError: The folder takes no new file, or no hard link.
    """
    draft = place.with_name(f".{place.name}.{new_id()}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, _MODE), "wb") as file:
        try:
            os.fchmod(file.fileno(), _MODE)  # the umask may have taken bits
            os.fchown(file.fileno(), _owner(place), -1)
            file.write(random_bytes(FILE_BYTES))
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                place.hardlink_to(draft)
        finally:
            draft.unlink()
