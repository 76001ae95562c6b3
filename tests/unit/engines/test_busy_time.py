"""Whose time is whose in a thread that works for several."""

import gc
import weakref

from app.engines.busy_time import BusyTime


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Owner:
    pass


def work(busy: BusyTime, clock: Clock, owner: object, seconds: float) -> None:
    with busy.working_for(owner):
        clock.now += seconds
    clock.now += 100  # nobody's


def test_each_has_its_own() -> None:
    clock, one, other = Clock(), Owner(), Owner()
    busy = BusyTime(clock)
    for owner, seconds in ((one, 1.0), (other, 5.0), (one, 2.0)):
        work(busy, clock, owner, seconds)
    assert (busy.others_seconds(one), busy.others_seconds(other), busy.others_seconds(None)) == (5, 3, 8)


def test_work_that_is_not_done_counts_up_to_now() -> None:
    clock, one, other = Clock(), Owner(), Owner()
    busy = BusyTime(clock)
    with busy.working_for(other):
        clock.now += 4
        assert (busy.others_seconds(one), busy.others_seconds(other)) == (4, 0)
        clock.now += 4
    assert busy.others_seconds(one) == 8


def test_one_that_has_gone_leaves_its_seconds_and_nothing_else() -> None:
    clock, one, gone = Clock(), Owner(), Owner()
    busy, known = BusyTime(clock), weakref.ref(gone)
    work(busy, clock, gone, 3.0)
    busy.forget(gone)
    del gone
    gc.collect()
    assert known() is None
    assert busy.others_seconds(one) == 3
