"""A running process notices what was done to its key file."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from twinlock.core.errors import ConfigurationError
from twinlock.installation.key_file import add_key_to_file, create_key_file, read_keys
from twinlock.installation.key_watch import KeyFileWatch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "secret.keys"
    create_key_file(path)
    return path


def watch_of(path: Path) -> KeyFileWatch:
    return KeyFileWatch(path, lambda: read_keys(path, must_be_private=True))


def test_an_unchanged_file_gives_nothing(path: Path) -> None:
    watch = watch_of(path)

    assert watch() is None
    assert watch() is None


def test_an_added_key_is_given_once(path: Path) -> None:
    watch = watch_of(path)
    keys = add_key_to_file(path)

    assert watch() == keys
    assert watch() is None


def test_a_file_that_is_gone_changes_nothing(path: Path) -> None:
    watch = watch_of(path)
    path.unlink()

    assert watch() is None


def test_a_file_that_comes_back_is_read(path: Path) -> None:
    watch = watch_of(path)
    kept = path.read_bytes()
    path.unlink()
    watch()
    path.touch(mode=0o600)
    path.write_bytes(kept)

    assert watch() == read_keys(path, must_be_private=True)


def test_an_unreadable_change_is_told_once_and_mended_by_the_next(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watch_of(path)
    kept = path.read_text()
    path.write_text("no key\n")

    assert (watch(), watch()) == (None, None)
    assert [record.message for record in caplog.records] == ["key_file_unusable"]
    path.write_text(kept)
    assert watch() is not None


def test_a_change_of_mode_counts_as_a_change(path: Path) -> None:
    watch = watch_of(path)
    path.chmod(0o644)
    assert watch() is None  # refused: others can read it

    path.chmod(0o600)

    assert watch() is not None


def test_a_reader_that_refuses_gives_nothing(path: Path) -> None:
    def refuse() -> Sequence[bytes]:
        raise ConfigurationError("guessable")

    watch = KeyFileWatch(path, refuse)
    add_key_to_file(path)

    assert watch() is None
