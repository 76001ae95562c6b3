"""One session's work, and the thread that does it."""

import logging
from threading import Event, Thread, current_thread

import pytest

from app.realtime.job_thread import JobThread
from tests.threads import no_thread

PATIENCE_SECONDS = 120


class Idle:
    """Notes that no job is left."""

    def __init__(self) -> None:
        self.times = 0
        self.reached = Event()

    def __call__(self) -> None:
        self.times += 1
        self.reached.set()


def test_jobs_are_done_in_order_and_one_at_a_time() -> None:
    idle, may_end, done = Idle(), Event(), []
    jobs = JobThread(idle)
    jobs.add(lambda: done.append(may_end.wait(PATIENCE_SECONDS)))
    for number in range(5):
        jobs.add(lambda number=number: done.append(number))  # type: ignore[misc]
    assert jobs.waiting == 6
    assert done == []
    may_end.set()
    assert idle.reached.wait(PATIENCE_SECONDS)
    assert done == [True, 0, 1, 2, 3, 4]
    assert (jobs.waiting, idle.times) == (0, 1)


def test_there_is_a_thread_only_while_there_are_jobs() -> None:
    idle, threads = Idle(), []
    jobs = JobThread(idle)
    for _ in range(2):
        idle.reached.clear()
        jobs.add(lambda: threads.append(current_thread()))
        assert idle.reached.wait(PATIENCE_SECONDS)
    first, second = threads
    first.join(PATIENCE_SECONDS)
    assert first is not second
    assert not first.is_alive()


def test_an_error_is_logged_and_the_next_job_done(caplog: pytest.LogCaptureFixture) -> None:
    idle, done = Idle(), []
    jobs = JobThread(idle)
    with caplog.at_level(logging.ERROR):
        jobs.add(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        jobs.add(lambda: done.append(1))
        assert idle.reached.wait(PATIENCE_SECONDS)
    assert "ZeroDivisionError" in caplog.text
    assert done == [1]


def test_waiting_for_the_last_one() -> None:
    idle, may_end, done = Idle(), Event(), []
    jobs = JobThread(idle)
    jobs.wait(PATIENCE_SECONDS)
    jobs.add(lambda: done.append(may_end.wait(PATIENCE_SECONDS)))
    jobs.wait(0.01)
    assert done == []
    may_end.set()
    jobs.wait(PATIENCE_SECONDS)
    assert done == [True]


def test_without_a_thread_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, done = Idle(), list[int]()
    jobs = JobThread(idle)
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", no_thread)
        assert not jobs.add(lambda: done.append(1), 2.0)
        assert (jobs.waiting, jobs.waiting_seconds) == (0, 0.0)
        jobs.wait(PATIENCE_SECONDS)
    assert jobs.add(lambda: done.append(2))
    assert idle.reached.wait(PATIENCE_SECONDS)
    assert done == [2]
