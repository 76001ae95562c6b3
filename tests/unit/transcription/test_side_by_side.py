import threading

import pytest

from app.transcription.side_by_side import SideBySide


def test_iterators_advance_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=60)

    def meet(name: str):
        meeting.wait()
        yield name
        meeting.wait()
        yield name

    with SideBySide(3) as pool:
        ahead = [pool.ahead(meet(name)) for name in "abc"]
        assert [list(items) for items in ahead] == [["a", "a"], ["b", "b"], ["c", "c"]]


def test_an_error_comes_after_the_items_before_it() -> None:
    def fail():
        yield 1
        raise KeyError("gone")

    with SideBySide(1) as pool:
        items = pool.ahead(fail())
        assert next(items) == 1
        with pytest.raises(KeyError, match="gone"):
            next(items)


def test_what_has_not_begun_when_the_reader_leaves_never_begins() -> None:
    release, begun = threading.Event(), []

    def work(name: str):
        begun.append(name)
        release.wait(60)
        yield name

    with SideBySide(1) as pool:
        pool.ahead(work("first"))
        pool.ahead(work("second"))
        while not begun:
            pass
    release.set()
    assert begun == ["first"]
