"""The file that holds the master keys: made once, read at every start, changed by rotation.

One key per line in base64url, the newest first; ``#`` begins a comment. Every change writes a
whole file beside it, syncs it and puts it in place under a lock, so that a reader sees the old
keys or the new ones and a crash loses neither.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twinlock.core.errors import ConfigurationError, InstallationError, NotInitializedError
from twinlock.core.keyring import MASTER_KEY_BYTES
from twinlock.core.secrets import from_base64url, random_bytes, to_base64url

if sys.platform != "win32":
    import fcntl

PRIVATE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES: Final = 64 * 1024
_FEWEST_DISTINCT_BYTES: Final = 8
_TO_URL_ALPHABET: Final = str.maketrans("+/", "-_")
_HEADER: Final = """\
# The master keys of this Twinlock installation, newest first.
# What they seal cannot be read without them: keep a copy, apart from the database's backup.
"""


def decode_key(text: str) -> bytes:
    """Return the master key that *text* spells in base64url or base64, padded or not.

    Raises:
        ValueError: It spells something else, or not 32 bytes. The message repeats nothing of it.
    """
    try:
        key = from_base64url(text.rstrip("=").translate(_TO_URL_ALPHABET))
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError("should hold keys of 32 random bytes in base64url (43 characters each)")
    return key


def is_guessable(key: bytes) -> bool:
    """Tell whether *key* is text or a pattern, which 32 random bytes never are."""
    return len(set(key)) < _FEWEST_DISTINCT_BYTES or all(0x20 <= byte < 0x7F for byte in key)


def read_keys(path: Path, *, must_be_private: bool) -> list[bytes]:
    """Return the keys in *path*, newest first.

    Args:
        path: The key file.
        must_be_private: Refuse a file that others may read or that belongs to someone else.

    Raises:
        NotInitializedError: There is no such file.
        ConfigurationError: It is open to others, holds no key, one key twice, or something else.
        InstallationError: The system does not let us read it.
    """
    with _explained(path):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise ConfigurationError(f"The key file {path} is not a regular file.")
            if must_be_private:
                _require_private(path, facts)
            content = os.read(descriptor, _MAX_BYTES)
        finally:
            os.close(descriptor)
    return [key for _, key in _parsed(content, path) if key is not None]


def create_key_file(path: Path) -> bool:
    """Make *path* with one new key, readable by its owner only, and its folder if need be.

    May be repeated and raced: whoever comes second leaves the file alone.

    Returns:
        True when this call made the file, False when it was there.

    Raises:
        InstallationError: The system does not let us write there.
    """
    with _explained(path):
        if os.path.lexists(path):  # it only ever appears whole; the lock may be another user's
            return False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path):
            if os.path.lexists(path):
                return False
            with _written_beside(path, _HEADER + _line(random_bytes(MASTER_KEY_BYTES))) as whole:
                return _publish_new(whole, path)


def add_key_to_file(path: Path, *, expected_newest: bytes | None = None) -> list[bytes]:
    """Put a new key before all others and return the keys, newest first.

    Args:
        path: The key file; a link stays one.
        expected_newest: Add nothing if another key is the newest by now, so that two rotations
            begun at once add one key.

    Raises:
        NotInitializedError: There is no such file.
        ConfigurationError: It holds no key, one key twice, or something else.
        InstallationError: The system does not let us write there.
    """
    path = path.resolve()
    with _explained(path), _locked(path):
        lines = _parsed(path.read_bytes(), path)
        keys = [key for _, key in lines if key is not None]
        if expected_newest is not None and keys[0] != expected_newest:
            return keys
        new = random_bytes(MASTER_KEY_BYTES)
        place = next(number for number, (_, key) in enumerate(lines) if key is not None)
        texts = [text for text, _ in lines]
        _replace(path, "".join([*texts[:place], _line(new), *texts[place:]]))
        return [new, *keys]


def remove_old_keys(path: Path, *, older_than: bytes) -> int:
    """Remove the keys that stand after *older_than* and return how many they were.

    Naming the key makes this safe beside another rotation: a key that was added meanwhile is
    newer, and what it does not seal yet is sealed by the key named here.

    Args:
        path: The key file; a link stays one.
        older_than: The key that seals everything by now.

    Raises:
        NotInitializedError: There is no such file.
        ConfigurationError: The file does not hold *older_than*, or is no key file.
        InstallationError: The system does not let us write there.
    """
    path = path.resolve()
    with _explained(path), _locked(path):
        lines = _parsed(path.read_bytes(), path)
        keys = [key for _, key in lines if key is not None]
        if older_than not in keys:
            raise ConfigurationError(f"The key file {path} no longer holds the key in use.")
        old = set(keys[keys.index(older_than) + 1 :])
        if old:
            _replace(path, "".join(text for text, key in lines if key not in old))
        return len(old)


def _parsed(content: bytes, path: Path) -> list[tuple[str, bytes | None]]:
    """Return each line, ended, with the key that it holds; errors name lines, never content."""
    lines: list[tuple[str, bytes | None]] = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        try:
            lines.append((line + "\n", decode_key(text) if text else None))
        except ValueError:
            raise ConfigurationError(
                f"Line {number} of the key file {path} is not a key: 32 random bytes in base64url."
            ) from None
    keys = [key for _, key in lines if key is not None]
    if not keys:
        raise ConfigurationError(f"The key file {path} holds no key.")
    if len(set(keys)) != len(keys):
        raise ConfigurationError(f"The key file {path} holds one key twice.")
    return lines


def _line(key: bytes) -> str:
    return to_base64url(key) + "\n"


def _require_private(path: Path, facts: os.stat_result) -> None:
    if sys.platform == "win32":
        return
    us = os.geteuid()
    if us not in (0, facts.st_uid):  # the administrator may work on a service's file
        raise ConfigurationError(
            f"The key file {path} belongs to another user. Type: chown {us} '{path}'"
        )
    if facts.st_mode & _OTHERS:
        raise ConfigurationError(
            f"The key file {path} can be read by others (mode {stat.S_IMODE(facts.st_mode):04o}). "
            f"Type: chmod 600 '{path}' (where a mount forbids that, hand the keys over as "
            "TWINLOCK_SECRET_KEYS in a secrets folder instead)"
        )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the system raises into an error that names the file and the way out."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotInitializedError(
            f"There is no key file {path}. For a new installation type: twinlock init. If the "
            "database exists already, put its key file back: nothing else opens it."
        ) from error
    except OSError as error:
        raise InstallationError(f"The key file {path}: {error.strerror}.") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file beside *path*; it stays, since removing a lock file breaks the lock."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(f"{path}.lock", flags, PRIVATE_MODE)
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _written_beside(path: Path, text: str) -> Iterator[Path]:
    """Give a synced file with *text* beside *path*; remove it afterwards if it is still there.

    The name is fixed, so that the next change clears away what a crash left; the lock is held.
    """
    whole = path.with_name(path.name + ".new")
    whole.unlink(missing_ok=True)
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        yield whole
    finally:
        whole.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _publish_new(whole: Path, path: Path) -> bool:
    try:
        os.link(whole, path)  # atomic, and never over another file
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: the lock keeps the others away
        whole.rename(path)
    return True


def _replace(path: Path, text: str) -> None:
    owner = path.stat()
    with _written_beside(path, text) as whole:
        if sys.platform != "win32" and os.geteuid() == 0:
            os.chown(whole, owner.st_uid, owner.st_gid)  # a service must still read its file
        whole.replace(path)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
