"""Workers of one machine see a revocation at the next read, and no file can harm them."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.tokens.racing import context, race
from tests.tokens.workers import INSTALLATION, answer_with_marks, open_marks
from twinlock.core.secrets import new_id
from twinlock.tokens.marks import FILE_BYTES, FILE_NAME, MARKS, Marks

SESSION = "00112233445566778899aabbccddeeff"
NEIGHBOUR = "00112233445566778899aabbccddee00"
MANY = [f"{number:032x}" for number in range(2_000)]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def shared_memory(tmp_path: Path) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


@pytest.fixture
def opened(data_dir: Path, shared_memory: Path) -> Iterator[Callable[[], Marks]]:
    """Opens the marks as one more worker of the machine would."""
    all_marks: list[Marks] = []

    def open_another() -> Marks:
        marks = Marks(data_dir, installation=INSTALLATION, shared_memory=shared_memory)
        all_marks.append(marks)
        return marks

    yield open_another
    for marks in all_marks:
        marks.close()


Opened = Callable[[], Marks]


def test_a_bump_is_seen_by_everybody_at_the_next_read(opened: Opened) -> None:
    one, other = opened(), opened()
    before = one.read(SESSION)
    assert other.read(SESSION) == before

    one.bump([SESSION])

    assert one.read(SESSION) != before
    assert other.read(SESSION) == one.read(SESSION)


def test_reading_changes_nothing(opened: Opened) -> None:
    marks = opened()

    assert [marks.read(SESSION) for _ in range(100)] == [marks.read(SESSION)] * 100


def test_a_bump_leaves_other_sessions_alone(opened: Opened) -> None:
    marks = opened()
    before = {session: marks.read(session) for session in MANY}

    marks.bump([SESSION])

    changed = [session for session in MANY if marks.read(session) != before[session]]
    assert len(changed) <= 1  # one in 65,536 shares the mark


def test_every_session_of_a_list_is_bumped(opened: Opened) -> None:
    marks = opened()
    before = [marks.read(session) for session in MANY]

    marks.bump(iter(MANY))

    assert not [s for s, mark in zip(MANY, before, strict=True) if marks.read(s) == mark]


def test_all_can_be_bumped_at_once(opened: Opened) -> None:
    marks, other = opened(), opened()
    before = [marks.read(session) for session in MANY]

    marks.bump_all()

    assert not [s for s, mark in zip(MANY, before, strict=True) if other.read(s) == mark]


def test_sessions_spread_over_all_marks(opened: Opened) -> None:
    """Random ids fall on few common marks: 2,000 in 65,536 share about 30."""
    marks = opened()

    assert len({marks.read(new_id()) for _ in range(2_000)}) > 1_900


def test_no_bump_is_lost_between_threads(opened: Opened) -> None:
    """Each reader that saw a mark before a bump sees another after it, whoever else writes."""
    marks = opened()
    started = threading.Barrier(4)
    unseen: list[int] = []

    def revoke() -> None:
        started.wait(timeout=30)
        for _ in range(2_000):
            before = marks.read(SESSION)
            marks.bump([SESSION])
            if marks.read(SESSION) == before:
                unseen.append(before)

    threads = [threading.Thread(target=revoke) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert unseen == []


# --- the file -------------------------------------------------------------------------------


def test_the_file_lies_whole_and_closed_in_the_data_folder(
    opened: Opened, data_dir: Path, shared_memory: Path
) -> None:
    marks = opened()

    assert marks.place == data_dir / FILE_NAME
    found = marks.place.lstat()
    assert (found.st_size, found.st_mode & 0o7777) == (MARKS * 8, 0o600)
    assert list(data_dir.iterdir()) == [marks.place]
    assert list(shared_memory.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_the_umask_does_not_matter(opened: Opened, umask: int) -> None:
    old = os.umask(umask)
    try:
        marks = opened()
    finally:
        os.umask(old)

    assert marks.place is not None
    assert marks.place.lstat().st_mode & 0o7777 == 0o600


def test_marks_outlive_the_processes(opened: Opened) -> None:
    first = opened()
    first.bump([SESSION])
    mark = first.read(SESSION)

    first.close()

    assert opened().read(SESSION) == mark


def test_a_poll_keeps_a_file_that_is_still_there(opened: Opened) -> None:
    marks = opened()
    mark = marks.read(SESSION)

    assert marks.refresh_if_replaced() is False
    assert marks.read(SESSION) == mark


def test_a_replaced_file_is_mapped_again_at_the_next_poll(opened: Opened, data_dir: Path) -> None:
    worker = opened()
    before = worker.read(SESSION)
    (data_dir / FILE_NAME).unlink()
    newcomer = opened()

    assert worker.refresh_if_replaced() is True

    assert worker.read(SESSION) == newcomer.read(SESSION) != before
    newcomer.bump([SESSION])
    assert worker.read(SESSION) == newcomer.read(SESSION)
    assert worker.refresh_if_replaced() is False


def test_a_file_that_is_gone_is_made_anew(opened: Opened, data_dir: Path) -> None:
    one, other = opened(), opened()
    (data_dir / FILE_NAME).unlink()

    assert one.refresh_if_replaced()
    assert other.refresh_if_replaced()

    one.bump([SESSION])
    assert one.place == other.place == data_dir / FILE_NAME
    assert other.read(SESSION) == one.read(SESSION)


@pytest.mark.parametrize("length", [0, 1, 4096, FILE_BYTES - 1, FILE_BYTES + 1])
def test_a_file_of_another_length_is_let_go_before_the_next_read(
    opened: Opened, data_dir: Path, length: int
) -> None:
    """Reading behind the end of a mapped file kills the process (SIGBUS)."""
    marks, other = opened(), opened()
    before = [marks.read(session) for session in MANY]
    os.truncate(data_dir / FILE_NAME, length)

    assert marks.refresh_if_replaced() is True
    assert other.refresh_if_replaced() is True

    assert not [s for s, mark in zip(MANY, before, strict=True) if marks.read(s) == mark]
    assert (data_dir / FILE_NAME).lstat().st_size == length, "never repaired from here"
    marks.bump(MANY)
    assert [marks.read(s) for s in MANY] == [other.read(s) for s in MANY]


def test_workers_return_to_the_data_folder_as_soon_as_it_works(
    opened: Opened, data_dir: Path, shared_memory: Path
) -> None:
    marks = opened()
    os.truncate(data_dir / FILE_NAME, 0)
    marks.refresh_if_replaced()
    assert marks.place is not None
    assert marks.place.parent == shared_memory
    assert marks.refresh_if_replaced() is False

    (data_dir / FILE_NAME).unlink()

    assert marks.refresh_if_replaced() is True
    assert marks.place == data_dir / FILE_NAME


def spoil_with_link(place: Path) -> None:
    target = place.with_name("target")
    target.write_bytes(bytes(FILE_BYTES))
    target.chmod(0o600)
    place.symlink_to(target)


def spoil_with_dangling_link(place: Path) -> None:
    place.symlink_to(place.with_name("nowhere"))


def spoil_with_folder(place: Path) -> None:
    place.mkdir(0o600)


def spoil_with_pipe(place: Path) -> None:
    os.mkfifo(place, 0o600)


def spoil_with_short_file(place: Path) -> None:
    place.write_bytes(bytes(FILE_BYTES - 1))
    place.chmod(0o600)


def spoil_with_empty_file(place: Path) -> None:
    place.touch(0o600)


def spoil_with_open_file(place: Path) -> None:
    place.write_bytes(bytes(FILE_BYTES))
    place.chmod(0o622)


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_with_link,
        spoil_with_dangling_link,
        spoil_with_folder,
        spoil_with_pipe,
        spoil_with_short_file,
        spoil_with_empty_file,
        spoil_with_open_file,
    ],
)
def test_what_is_not_our_whole_file_is_neither_used_nor_touched(
    opened: Opened,
    data_dir: Path,
    shared_memory: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    spoil(data_dir / FILE_NAME)
    before = {path: path.lstat().st_mtime_ns for path in data_dir.iterdir()}

    with caplog.at_level(logging.WARNING, "twinlock.tokens"):
        one, other = opened(), opened()
    one.bump([SESSION])

    assert one.place is not None
    assert one.place.parent == shared_memory
    assert other.read(SESSION) == one.read(SESSION)
    assert {path: path.lstat().st_mtime_ns for path in data_dir.iterdir()} == before
    assert [record.message for record in caplog.records] == ["marks_moved", "marks_moved"]


@needs_root
def test_a_file_of_another_user_is_not_used(opened: Opened, data_dir: Path) -> None:
    file = data_dir / FILE_NAME
    file.write_bytes(bytes(FILE_BYTES))
    file.chmod(0o600)
    os.chown(file, 12_345, -1)

    assert opened().place != file


@needs_root
def test_a_file_that_changes_hands_is_let_go(opened: Opened, data_dir: Path) -> None:
    marks = opened()
    os.chown(data_dir / FILE_NAME, 12_345, -1)

    assert marks.refresh_if_replaced() is True
    assert marks.place != data_dir / FILE_NAME


@needs_root
def test_what_root_makes_belongs_to_the_owner_of_the_folder(opened: Opened, data_dir: Path) -> None:
    """A command that an operator runs as root must not lock the server out of its marks."""
    os.chown(data_dir, 12_345, -1)

    marks = opened()

    assert marks.place == data_dir / FILE_NAME
    assert marks.place.lstat().st_uid == 12_345


def test_without_a_data_folder_shared_memory_serves(shared_memory: Path) -> None:
    one = Marks(None, installation=INSTALLATION, shared_memory=shared_memory)
    other = Marks(shared_memory / "no", installation=INSTALLATION, shared_memory=shared_memory)

    one.bump([SESSION])

    assert one.place == other.place
    assert other.read(SESSION) == one.read(SESSION)
    one.close()
    other.close()


def test_installations_do_not_meet_in_shared_memory(shared_memory: Path) -> None:
    one = Marks(None, installation=b"one", shared_memory=shared_memory)
    other = Marks(None, installation=b"other", shared_memory=shared_memory)

    assert one.place != other.place
    assert one.read(SESSION) != other.read(SESSION)
    one.close()
    other.close()


def test_without_any_file_the_process_has_marks_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = tmp_path / "nowhere"
    with caplog.at_level(logging.WARNING, "twinlock.tokens"):
        marks = Marks(nowhere, installation=INSTALLATION, shared_memory=nowhere)
    before = marks.read(SESSION)

    marks.bump([SESSION])

    assert marks.place is None
    assert marks.read(SESSION) != before
    assert [record.message for record in caplog.records] == ["marks_moved"]
    assert marks.refresh_if_replaced() is False


def test_two_sets_of_private_marks_have_nothing_in_common(tmp_path: Path) -> None:
    """What was remembered under one must not look unchanged under the next."""
    nowhere = tmp_path / "nowhere"
    one, other = (
        Marks(nowhere, installation=INSTALLATION, shared_memory=nowhere) for _ in range(2)
    )

    assert [s for s in MANY if one.read(s) == other.read(s)] == []


def test_marks_of_its_own_are_given_up_as_soon_as_a_file_works(tmp_path: Path) -> None:
    later = tmp_path / "later"
    marks = Marks(later, installation=INSTALLATION, shared_memory=tmp_path / "nowhere")
    before = marks.read(SESSION)
    later.mkdir()

    assert marks.refresh_if_replaced() is True

    assert marks.place == later / FILE_NAME
    assert marks.read(SESSION) != before
    marks.close()


def test_after_closing_nothing_is_shared_and_nothing_fails(opened: Opened) -> None:
    one, other = opened(), opened()
    mark = other.read(SESSION)

    one.close()
    one.bump([SESSION])
    one.bump_all()
    one.refresh_if_replaced()
    one.close()

    assert one.place is None
    assert other.read(SESSION) == mark != one.read(SESSION)


def test_a_read_never_fails_while_the_file_is_replaced(opened: Opened, data_dir: Path) -> None:
    """The poller maps again in its own thread while the event loop reads and writes."""
    marks = opened()
    done = threading.Event()
    errors: list[BaseException] = []

    def use() -> None:
        try:
            while not done.is_set():
                marks.read(SESSION)
                marks.bump([NEIGHBOUR])
        except BaseException as error:
            errors.append(error)
            raise

    reader = threading.Thread(target=use)
    reader.start()
    for _ in range(50):
        (data_dir / FILE_NAME).unlink()
        assert marks.refresh_if_replaced()
    done.set()
    reader.join()

    assert errors == []


# --- several processes ----------------------------------------------------------------------


@pytest.fixture
def workers(data_dir: Path, shared_memory: Path) -> Iterator[list[Connection]]:
    """Connections to three other processes."""
    pipes = [context.Pipe() for _ in range(3)]
    processes = [
        context.Process(target=answer_with_marks, args=(theirs, data_dir, shared_memory))
        for _, theirs in pipes
    ]
    for process in processes:
        process.start()
    for _, theirs in pipes:
        theirs.close()
    yield [ours for ours, _ in pipes]
    for ours, _ in pipes:
        ours.send("")
        ours.close()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()


def ask(workers: list[Connection], request: str) -> list[object]:
    for worker in workers:
        worker.send(request)
    return [worker.recv() for worker in workers]


def test_other_processes_see_a_bump_at_their_next_read(
    opened: Opened, workers: list[Connection]
) -> None:
    marks = opened()
    assert ask(workers, SESSION) == [marks.read(SESSION)] * 3

    for _ in range(500):
        before = marks.read(SESSION)
        marks.bump([SESSION])
        after = marks.read(SESSION)
        assert before != after
        assert ask(workers, SESSION) == [after] * 3


def test_other_processes_live_through_a_truncated_file(
    opened: Opened, workers: list[Connection], data_dir: Path
) -> None:
    marks = opened()
    ask(workers, SESSION)
    os.truncate(data_dir / FILE_NAME, 0)

    assert ask(workers, "poll") == [True] * 3
    marks.refresh_if_replaced()
    marks.bump([SESSION])

    assert ask(workers, SESSION) == [marks.read(SESSION)] * 3


def test_racing_processes_get_one_and_the_same_whole_file(data_dir: Path) -> None:
    found = race(open_marks, data_dir, SESSION)

    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in data_dir.iterdir()] == [FILE_NAME]


def test_a_forked_process_shares_the_marks(opened: Opened) -> None:
    """As under a server that forks its workers; the child uses nothing but the marks."""
    script = (
        "import os, pathlib, sys\n"
        "from twinlock.tokens.marks import Marks\n"
        "marks = Marks(pathlib.Path(sys.argv[1]), installation=b'', "
        "shared_memory=pathlib.Path('/nonexistent'))\n"
        "before = marks.read(sys.argv[2])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    marks.bump([sys.argv[2]])\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "sys.exit(marks.read(sys.argv[2]) == before)\n"
    )
    marks = opened()
    assert marks.place is not None
    before = marks.read(SESSION)

    done = subprocess.run(
        [sys.executable, "-c", script, str(marks.place.parent), SESSION], check=False
    )

    assert done.returncode == 0
    assert marks.read(SESSION) != before
