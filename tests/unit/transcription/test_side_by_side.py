"""Iterators that are read ahead: in order, in turn, without waiting for each other."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from app.transcription.side_by_side import SideBySide

PATIENCE_SECONDS = 60


@pytest.fixture
def make() -> Iterator[Callable[[int], SideBySide]]:
    made: list[SideBySide] = []

    def making(width: int) -> SideBySide:
        made.append(SideBySide(width))
        return made[-1]

    yield making
    for threads in made:
        threads.close()


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def numbered(name: str, count: int) -> Iterator[str]:
    for number in range(count):
        yield f"{name}{number}"


@pytest.mark.parametrize("width", [0, 1, 2, 9])
def test_each_gives_its_items_in_order(make: Callable[[int], SideBySide], width: int) -> None:
    with make(width).read_ahead([numbered(name, 50) for name in "abcd"]) as ahead:
        assert [list(items) for items in ahead] == [list(numbered(name, 50)) for name in "abcd"]


def test_iterators_advance_at_the_same_time(make: Callable[[int], SideBySide]) -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE_SECONDS)

    def meet(name: str) -> Iterator[str]:
        meeting.wait()
        yield name
        meeting.wait()
        yield name

    with make(3).read_ahead([meet(name) for name in "abc"]) as ahead:
        assert [list(items) for items in ahead] == [["a", "a"], ["b", "b"], ["c", "c"]]


@pytest.mark.parametrize("width", [0, 1, 2, 3])
def test_iterators_that_read_others_ahead_need_no_more_threads(
    make: Callable[[int], SideBySide], width: int
) -> None:
    threads = make(width)

    def whole(name: str) -> Iterator[str]:
        with threads.read_ahead([numbered(f"{name}{part}.", 3) for part in range(5)]) as parts:
            for part in parts:
                yield from part

    with threads.read_ahead([whole(name) for name in "abcd"]) as ahead:
        found = [list(items) for items in ahead]
    assert found == [[f"{name}{part}.{n}" for part in range(5) for n in range(3)] for name in "abcd"]


def test_threads_are_bounded_however_many_ask(make: Callable[[int], SideBySide]) -> None:
    threads, running, most = make(3), [], 0
    lock = threading.Lock()

    def counted() -> Iterator[int]:
        nonlocal most
        for number in range(5):
            with lock:
                running.append(number)
                most = max(most, len(running))
            time.sleep(0.001)
            with lock:
                running.pop()
            yield number

    def request() -> None:
        with threads.read_ahead([counted() for _ in range(20)]) as ahead:
            assert [list(items) for items in ahead] == [list(range(5))] * 20

    requests = [threading.Thread(target=request) for _ in range(4)]
    for each in requests:
        each.start()
    for each in requests:
        each.join(PATIENCE_SECONDS)
    assert 3 < most <= 3 + len(requests)
    assert sum(thread.name.startswith("side-by-side") for thread in threading.enumerate()) <= 3


def test_requests_take_turns(make: Callable[[int], SideBySide]) -> None:
    """One thread, which a first item holds up until both requests have all theirs waiting."""
    threads, release, order = make(1), threading.Event(), []

    def holding() -> Iterator[int]:
        order.append("first")
        assert release.wait(PATIENCE_SECONDS)
        yield 0

    def noting(name: str) -> Iterator[int]:
        order.append(name)
        yield 0

    with threads.read_ahead([holding()]):
        wait_until(lambda: order)
        with (
            threads.read_ahead([noting(f"a{n}") for n in range(4)]),
            threads.read_ahead([noting(f"b{n}") for n in range(2)]),
        ):
            release.set()
            wait_until(lambda: len(order) == 7)
    begun = [name for name in order if name[0] in "ab"]
    assert set(begun[:2]) == {"a0", "b0"}
    assert set(begun[:4]) == {"a0", "a1", "b0", "b1"}


def test_an_item_at_a_time_so_that_a_long_one_keeps_no_thread(make: Callable[[int], SideBySide]) -> None:
    """An endless iterator of one request, and what another wants from the same single thread."""
    threads, made = make(1), []

    def endless() -> Iterator[int]:
        while True:
            time.sleep(0.001)
            yield 0

    def short() -> Iterator[int]:
        made.append(threading.current_thread().name)
        yield 0

    with threads.read_ahead([endless()]), threads.read_ahead([short()]):
        wait_until(lambda: made)
    assert made[0].startswith("side-by-side")


@pytest.mark.parametrize("width", [0, 1])
def test_an_error_comes_after_the_items_before_it(make: Callable[[int], SideBySide], width: int) -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    with make(width).read_ahead([fail()]) as [items]:
        assert next(items) == 1
        with pytest.raises(KeyError, match="gone"):
            next(items)


def test_what_has_not_begun_when_the_reader_leaves_never_begins(make: Callable[[int], SideBySide]) -> None:
    release, begun, ended = threading.Event(), [], []

    def work(name: str) -> Iterator[str]:
        begun.append(name)
        try:
            assert release.wait(PATIENCE_SECONDS)
            yield name
            begun.append("too far")
        finally:
            ended.append(name)

    with make(1).read_ahead([work("first"), work("second")]):
        wait_until(lambda: begun)
    release.set()
    wait_until(lambda: ended)
    assert (begun, ended) == (["first"], ["first"])


def test_what_waits_for_its_reader_is_closed_with_the_reader(make: Callable[[int], SideBySide]) -> None:
    ended = []

    def work() -> Iterator[int]:
        try:
            yield 0
        finally:
            ended.append(True)

    with make(0).read_ahead([work()]) as [items]:
        assert next(items) == 0
        assert ended == []
    assert ended == [True]
    assert list(items) == []


def test_after_the_end_readers_read_by_themselves(make: Callable[[int], SideBySide]) -> None:
    threads = make(2)
    threads.close()
    with threads.read_ahead([numbered("a", 3)]) as [items]:
        assert list(items) == ["a0", "a1", "a2"]


class Sound:
    """Something large."""


@pytest.mark.parametrize("width", [0, 2])
@pytest.mark.parametrize("ending", ["read", "raised", "left", "never read"])
def test_nothing_is_held_when_a_request_has_ended(
    make: Callable[[int], SideBySide], width: int, ending: str
) -> None:
    """Not even until the next full collection, which may be hours away."""
    threads = make(width)

    def work(sound: Sound) -> Iterator[int]:
        yield id(sound)
        if ending == "raised":
            raise KeyError(id(sound))
        yield id(sound)

    def request() -> list[weakref.ref[Sound]]:
        sounds = [Sound() for _ in range(3)]
        with suppress(KeyError), threads.read_ahead([work(sound) for sound in sounds]) as ahead:
            if ending != "never read":
                for items in ahead:
                    next(items)
                    if ending != "left":
                        list(items)
        return list(map(weakref.ref, sounds))

    gc.disable()
    try:
        held = request()
        wait_until(lambda: not any(reference() for reference in held))
    finally:
        gc.enable()
