"""A keyring follows its keys through a rotation without losing what was sealed before."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from twinlock.core.errors import SealBrokenError
from twinlock.core.keyring import Keyring

OLD, NEW, THIRD = b"o" * 32, b"n" * 32, b"t" * 32
PLACE = {"table": "t", "column": "c", "row": "r", "account": "a"}


class Source:
    """Keys that change, as those in a file do."""

    def __init__(self) -> None:
        self.next: Sequence[bytes] | None = None
        self.asked = 0

    def __call__(self) -> Sequence[bytes] | None:
        self.asked += 1
        given, self.next = self.next, None
        return given


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def ring(source: Source) -> Keyring:
    return Keyring([OLD], changed=source)


def test_a_value_sealed_by_a_key_that_was_just_added_opens(ring: Keyring, source: Source) -> None:
    sealed = Keyring([NEW, OLD]).seal(b"plain", **PLACE)
    source.next = [NEW, OLD]

    assert ring.open(sealed, **PLACE) == b"plain"
    assert ring.newest_id == Keyring([NEW]).newest_id


def test_a_mac_by_a_key_that_was_just_added_holds(ring: Keyring, source: Source) -> None:
    mac = Keyring([NEW, OLD]).mac("purpose", "part")
    source.next = [NEW, OLD]

    assert ring.is_mac(mac, "purpose", "part")


def test_what_the_old_key_made_still_opens_after_the_change(ring: Keyring, source: Source) -> None:
    sealed, mac = ring.seal(b"plain", **PLACE), ring.mac("purpose", "part")
    source.next = [NEW, OLD]

    assert ring.look_again() is True
    assert ring.open(sealed, **PLACE) == b"plain"
    assert ring.is_mac(mac, "purpose", "part")
    assert ring.is_stale_seal(sealed)
    assert ring.is_stale_mac(mac)


def test_a_key_that_was_dropped_opens_nothing_any_more(ring: Keyring, source: Source) -> None:
    sealed = ring.seal(b"plain", **PLACE)
    source.next = [NEW, OLD]
    ring.look_again()
    source.next = [NEW]
    ring.look_again()

    with pytest.raises(SealBrokenError):
        ring.open(sealed, **PLACE)


@pytest.mark.parametrize("keys", [[THIRD], [], [OLD, OLD], [b"short"]])
def test_keys_that_cannot_be_ours_are_refused_and_told(
    ring: Keyring, source: Source, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    before = ring.ids
    source.next = keys

    assert ring.look_again() is False
    assert ring.ids == before
    assert [record.message for record in caplog.records] == ["master_keys_refused"]


def test_wholly_other_keys_are_taken_over_where_they_are_ours(source: Source) -> None:
    """As for a process that was paused while the old key was rotated and dropped."""
    asked: list[list[str]] = []

    def is_ours(ring: Keyring) -> bool:
        asked.append(ring.ids)
        return True

    ring = Keyring([OLD], changed=source, is_ours=is_ours)
    source.next = [NEW]

    assert ring.look_again() is True
    assert asked == [ring.ids] == [Keyring([NEW]).ids]


def test_known_keys_ask_for_nothing(ring: Keyring, source: Source) -> None:
    ring.open(ring.seal(b"plain", **PLACE), **PLACE)
    ring.is_mac(ring.mac("purpose"), "purpose")

    assert source.asked == 0


def test_an_unknown_key_id_stays_unknown_where_nothing_changed(
    ring: Keyring, source: Source
) -> None:
    foreign = Keyring([THIRD])

    assert not ring.is_mac(foreign.mac("purpose"), "purpose")
    with pytest.raises(SealBrokenError):
        ring.open(foreign.seal(b"plain", **PLACE), **PLACE)
    assert source.asked == 2


def test_a_thread_that_was_overtaken_by_another_sees_the_new_key() -> None:
    """Both meet the new key at once: the one whose look finds nothing new must look at the ring."""
    barrier = threading.Barrier(2)
    turns = threading.Semaphore(1)
    sealed = Keyring([NEW, OLD]).seal(b"plain", **PLACE)

    def changed() -> Sequence[bytes] | None:
        return [NEW, OLD] if turns.acquire(blocking=False) else None

    ring = Keyring([OLD], changed=changed)
    opened: list[bytes] = []

    def open_it() -> None:
        barrier.wait()
        opened.append(ring.open(sealed, **PLACE))

    run_all([open_it, open_it])

    assert opened == [b"plain", b"plain"]


def run_all(works: Sequence[Callable[[], Any]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
