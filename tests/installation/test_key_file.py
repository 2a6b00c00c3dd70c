"""The key file: made once, whole, private, and never a key lost."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from twinlock.core.errors import ConfigurationError, InstallationError, NotInitializedError
from twinlock.core.secrets import to_base64url
from twinlock.installation import key_file

FIRST, SECOND, THIRD = (bytes(range(start, start + 32)) for start in (100, 150, 200))
CREATE = """
import sys, pathlib
from twinlock.installation.key_file import create_key_file, read_keys
sys.stdin.readline()
path = pathlib.Path(sys.argv[1])
print(create_key_file(path), read_keys(path, must_be_private=True)[0].hex())
"""

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes and links")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret.keys"


def write(path: Path, *keys: bytes) -> Path:
    path.write_text("".join(to_base64url(key) + "\n" for key in keys))
    path.chmod(0o600)
    return path


def read(path: Path) -> list[bytes]:
    return key_file.read_keys(path, must_be_private=True)


def create_in_threads(path: Path) -> list[tuple[bool, bytes]]:
    """Race eight threads; return whether each made the file, and the key that it read then."""
    together = threading.Barrier(8)

    def create(_: int) -> tuple[bool, bytes]:
        together.wait()
        return key_file.create_key_file(path), read(path)[0]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(create, range(8)))


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_file_holds_one_random_key_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "secret.keys"

    assert key_file.create_key_file(path) is True

    [key] = read(path)
    assert len(key) == 32
    assert not key_file.is_guessable(key)
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "secret.keys",
        "secret.keys.lock",
    ]


@posix
def test_the_umask_does_not_open_the_file(path: Path) -> None:
    before = os.umask(0)
    try:
        key_file.create_key_file(path)
    finally:
        os.umask(before)

    assert mode_of(path) == 0o600


def test_an_existing_file_is_never_touched(path: Path) -> None:
    write(path, FIRST)
    before = path.stat()

    assert key_file.create_key_file(path) is False

    assert read(path) == [FIRST]
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_every_process_that_races_reads_the_winners_key(path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()

    told = [racer.communicate()[0].split() for racer in racers]

    assert sorted(was_made for was_made, _ in told) == ["False", "False", "False", "True"]
    assert len({key for _, key in told}) == 1


def test_every_thread_that_races_reads_the_winners_key(path: Path) -> None:
    told = create_in_threads(path)

    assert [was_made for was_made, _ in told].count(True) == 1
    assert {key for _, key in told} == set(read(path))


def test_a_file_that_appears_meanwhile_wins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine on a shared folder may not see our lock."""
    link = os.link

    def late_link(source: Path, target: Path) -> None:
        write(path, FIRST)
        link(source, target)

    monkeypatch.setattr(os, "link", late_link)

    assert key_file.create_key_file(path) is False
    assert read(path) == [FIRST]


def test_a_file_system_without_hard_links_will_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    told = create_in_threads(path)

    assert [was_made for was_made, _ in told].count(True) == 1
    assert {key for _, key in told} == set(read(path))


def test_what_a_crash_left_is_cleared_away(path: Path) -> None:
    leftover = path.with_name("secret.keys.new")
    leftover.write_text("half a k")
    leftover.chmod(0o644)

    key_file.create_key_file(path)

    assert len(read(path)) == 1
    assert not leftover.exists()
    assert mode_of(path) == 0o600


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InstallationError, match=re.escape(str(tmp_path / "file" / "secret.keys"))):
        key_file.create_key_file(tmp_path / "file" / "secret.keys")


def test_keys_are_read_newest_first_past_comments_and_blank_lines(path: Path) -> None:
    path.write_bytes(
        b"# newest first\r\n\r\n  " + to_base64url(SECOND).encode() + b"= # 2031\r\n"
        b"#" + to_base64url(THIRD).encode() + b"\r\n" + to_base64url(FIRST).encode()
    )
    path.chmod(0o600)

    assert read(path) == [SECOND, FIRST]


@pytest.mark.parametrize(
    "content, told",
    [
        ("", "holds no key"),
        ("# only a comment\n", "holds no key"),
        (f"{to_base64url(FIRST)}\n{to_base64url(SECOND)[:-2]}\n", "Line 2 of the key file"),
        (f"{to_base64url(FIRST)}\nnot/a.key\n", "Line 2 of the key file"),
        (f"{to_base64url(FIRST)} {to_base64url(SECOND)}\n", "Line 1 of the key file"),
        (f"{to_base64url(FIRST)}\n{to_base64url(FIRST)}=\n", "holds one key twice"),
        ("\N{SNOWMAN}\n", "Line 1 of the key file"),
    ],
)
def test_a_broken_file_is_refused_without_repeating_it(path: Path, content: str, told: str) -> None:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)

    with pytest.raises(ConfigurationError, match=told) as refused:
        read(path)

    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert not any(word in str(refused.value) for word in content.split() if len(word) > 8)


def test_a_missing_file_names_both_ways_out(path: Path) -> None:
    with pytest.raises(NotInitializedError, match=r"twinlock init.*put its key file back"):
        read(path)

    assert not path.exists()


@posix
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(path: Path, mode: int) -> None:
    write(path, FIRST).chmod(mode)

    assert read(path) == [FIRST]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o777])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(
    path: Path, mode: int
) -> None:
    write(path, FIRST).chmod(mode)

    with pytest.raises(ConfigurationError, match=f"chmod 600 '{path}'") as refused:
        read(path)

    assert f"{mode:04o}" in str(refused.value)
    assert key_file.read_keys(path, must_be_private=False) == [FIRST]


@posix
def test_a_file_of_another_user_is_refused_but_to_the_administrator(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, FIRST)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    owner = path.stat().st_uid

    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        read(path)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert read(path) == [FIRST]


@posix
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(path: Path, make: Callable[[Path], None]) -> None:
    make(path)

    with pytest.raises(ConfigurationError, match="not a regular file"):
        read(path)


def test_a_new_key_goes_before_all_others_and_comments_stay(path: Path) -> None:
    write(path, FIRST)
    path.write_text(f"# ours\n{path.read_text()}# end\n")

    keys = key_file.add_key_to_file(path)

    assert read(path) == keys
    assert keys[1:] == [FIRST]
    assert path.read_text().startswith("# ours\n")
    assert path.read_text().endswith("# end\n")
    assert mode_of(path) == 0o600


@posix
def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    real = write(tmp_path / "real.keys", FIRST)
    path.symlink_to(real)

    keys = key_file.add_key_to_file(path)

    assert path.is_symlink()
    assert read(real) == keys


def test_two_rotations_begun_at_once_add_one_key(path: Path) -> None:
    write(path, FIRST)
    together = threading.Barrier(2)

    def add(_: int) -> list[bytes]:
        together.wait()
        return key_file.add_key_to_file(path, expected_newest=FIRST)

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(add, range(2)))

    assert len(read(path)) == 2
    assert told == [read(path)] * 2


def test_no_key_is_lost_when_many_are_added_at_once(path: Path) -> None:
    write(path, FIRST)
    together = threading.Barrier(8)

    def add(_: int) -> bytes:
        together.wait()
        return key_file.add_key_to_file(path)[0]

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(add, range(8)))

    assert set(read(path)) == {FIRST, *added}
    assert len(set(added)) == 8


def test_only_what_is_older_is_removed(path: Path) -> None:
    write(path, THIRD, SECOND, FIRST)

    assert key_file.remove_old_keys(path, older_than=SECOND) == 1
    assert read(path) == [THIRD, SECOND]
    assert key_file.remove_old_keys(path, older_than=SECOND) == 0
    assert key_file.remove_old_keys(path, older_than=THIRD) == 1
    assert read(path) == [THIRD]
    assert mode_of(path) == 0o600


def test_nothing_is_removed_for_a_key_that_is_not_there(path: Path) -> None:
    write(path, SECOND, FIRST)

    with pytest.raises(ConfigurationError, match="no longer holds the key in use"):
        key_file.remove_old_keys(path, older_than=THIRD)

    assert read(path) == [SECOND, FIRST]


@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_missing_or_broken_file_is_not_changed(path: Path, change: str) -> None:
    def run() -> None:
        if change == "add":
            key_file.add_key_to_file(path)
        else:
            key_file.remove_old_keys(path, older_than=FIRST)

    with pytest.raises(NotInitializedError):
        run()
    path.write_text("broken\n")
    with pytest.raises(ConfigurationError, match="Line 1"):
        run()
    assert path.read_text() == "broken\n"


def test_a_reader_sees_the_old_keys_or_the_new_ones(path: Path) -> None:
    write(path, FIRST)
    is_done = threading.Event()
    seen: set[int] = set()

    def watch() -> None:
        while not is_done.is_set():
            keys = read(path)
            assert keys[-1] == FIRST
            seen.add(len(keys))

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(watch)
        for _ in range(20):
            key_file.add_key_to_file(path)
        is_done.set()
        watcher.result()

    assert seen


@posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_a_service_keeps_its_file_when_root_rotates(path: Path) -> None:
    write(path, FIRST)
    os.chown(path, 12345, 54321)

    key_file.add_key_to_file(path)

    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)
