import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError

import pytest

from app import memory
from app.engines import engine_thread
from app.engines.engine_thread import EngineLane, EngineThread
from app.errors import CheckpointError, EngineFailure


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def thread():
    started = EngineThread()
    yield started
    started.close()


def test_all_calls_run_in_one_thread(thread: EngineThread) -> None:
    futures = [thread.submit(threading.get_ident) for _ in range(5)]
    assert len({future.result() for future in futures}) == 1
    assert futures[0].result() != threading.get_ident()


def test_a_failure_is_the_calls_alone_and_tells_nothing_of_the_inside(thread: EngineThread, caplog) -> None:
    failing = thread.submit(lambda: 1 / 0)
    with pytest.raises(EngineFailure) as caught:
        failing.result()
    assert "division" not in caught.value.message
    assert "ZeroDivisionError" in caplog.text
    assert thread.submit(lambda: 7).result() == 7


def test_errors_of_our_own_pass_as_they_are(thread: EngineThread, caplog) -> None:
    def fail() -> None:
        raise CheckpointError("no such file")

    with pytest.raises(CheckpointError, match="no such file"):
        thread.submit(fail).result()
    assert not caplog.records


def test_an_abandoned_call_never_runs(thread: EngineThread) -> None:
    ran = []
    abandoned = thread.submit(lambda: ran.append(1), lambda: True)
    thread.submit(lambda: None).result()
    assert abandoned.cancelled()
    assert ran == []


def test_closing_cancels_what_is_queued() -> None:
    thread = EngineThread()
    release = threading.Event()
    running = thread.submit(release.wait)
    queued = [thread.submit(lambda: 1) for _ in range(3)]
    closer = threading.Thread(target=thread.close)
    wait_until(running.running)
    closer.start()
    wait_until(lambda: not thread.alive)
    release.set()
    closer.join(30)
    assert running.result() is True
    assert all(future.cancelled() for future in queued)
    assert not thread.alive


def test_work_for_a_closed_thread_is_cancelled_at_once() -> None:
    thread = EngineThread()
    thread.close()
    assert thread.submit(lambda: 1).cancelled()


def test_memory_goes_back_once_each_time_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[int] = []
    monkeypatch.setattr(engine_thread, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(memory, "trim", lambda: trimmed.append(threading.get_ident()))
    thread = EngineThread()
    for turn in (1, 2, 3):
        own = thread.submit(threading.get_ident).result()
        wait_until(lambda turn=turn: len(trimmed) == turn)
        time.sleep(0.05)
        assert trimmed == [own] * turn
    thread.close()


def test_lanes_share_a_thread_and_end_one_by_one(thread: EngineThread) -> None:
    one, other = EngineLane(thread), EngineLane(thread)
    entered, release = threading.Event(), threading.Event()
    running = thread.submit(lambda: (entered.set(), release.wait(60)))
    assert entered.wait(60)
    dropped = [one.submit(lambda: 1) for _ in range(3)]
    kept = other.submit(threading.get_ident)
    closer = threading.Thread(target=one.close)
    closer.start()
    wait_until(lambda: not one.alive)
    release.set()
    closer.join(60)
    assert running.done()
    assert all(future.cancelled() for future in dropped)
    assert kept.result(60) == thread.submit(threading.get_ident).result(60)
    assert other.alive and thread.alive
    late = one.submit(lambda: 1)
    thread.submit(lambda: None).result(60)
    assert late.cancelled()


def test_a_lane_ends_with_its_thread() -> None:
    thread = EngineThread()
    lane = EngineLane(thread)
    thread.close()
    assert not lane.alive
    lane.close()


def test_whoever_uses_the_thread_gives_memory_back_when_it_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[str] = []
    monkeypatch.setattr(engine_thread, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(memory, "trim", lambda: released.append("trimmed"))
    thread = EngineThread()
    thread.when_idle(lambda: released.append(threading.current_thread().name))
    thread.submit(threading.get_ident).result()
    wait_until(lambda: len(released) >= 2)
    thread.close()
    assert released[-2:] == ["engine", "trimmed"]


def test_a_closed_lane_is_no_longer_called_and_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, thread: EngineThread
) -> None:
    class Model:
        def release(self) -> None:
            released.append(self is kept)

    released: list[bool] = []
    monkeypatch.setattr(engine_thread, "IDLE_SECONDS", 0.01)
    one, other = EngineLane(thread), EngineLane(thread)
    kept, dropped = Model(), Model()
    one.when_idle(dropped.release)
    other.when_idle(kept.release)
    one.close()
    left = weakref.ref(dropped)
    del one, dropped
    gc.collect()
    assert left() is None
    released.clear()
    thread.submit(threading.get_ident).result()
    wait_until(lambda: bool(released))
    assert all(released)


class Engine:
    """Asks for its next step in each step, as a batched engine does while it has work."""

    def __init__(self, lane: EngineLane) -> None:
        self.lane = lane
        self.entered, self.go_on = threading.Event(), threading.Event()

    def step(self) -> None:
        self.entered.set()
        assert self.go_on.wait(60)
        self.lane.submit(self.step)


def test_a_closed_lane_keeps_nothing_though_it_was_closed_in_the_midst_of_work(thread: EngineThread) -> None:
    lane = EngineLane(thread)
    engine = Engine(lane)
    left, entered, go_on = weakref.ref(engine), engine.entered, engine.go_on
    lane.submit(engine.step)
    assert entered.wait(60)
    closer = threading.Thread(target=lane.close)
    closer.start()
    while lane.alive:
        time.sleep(0.01)
    del engine, lane
    go_on.set()
    closer.join(60)
    del closer
    assert left() is None  # at once, and though the thread has had no other call


def test_a_thread_without_work_keeps_nothing_of_the_last_call(thread: EngineThread) -> None:
    class Model:
        def use(self) -> None:
            pass

    model = Model()
    left = weakref.ref(model)
    thread.submit(model.use).result()
    del model
    wait_until(lambda: left() is None)


def test_memory_that_can_not_be_given_back_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        failed.set()
        raise RuntimeError("CUDA error")

    failed = threading.Event()
    monkeypatch.setattr(engine_thread, "IDLE_SECONDS", 0.01)
    thread = EngineThread()
    thread.when_idle(fail)
    assert failed.wait(60)
    assert thread.submit(lambda: 7).result(60) == 7
    assert "CUDA error" in caplog.text
    thread.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_thread_that_has_ended_by_itself() -> None:
    def end() -> None:
        assert queued.wait(60)
        raise SystemExit

    queued, thread = threading.Event(), EngineThread()
    lane = EngineLane(thread)
    thread.submit(end)
    waiting = [lane.submit(lambda: 7) for _ in range(2)]
    queued.set()
    for future in waiting:
        with pytest.raises(CancelledError):
            future.result(60)
    assert not lane.alive
    lane.close()
    thread.close()  # it waits for the thread's end, whose warning is this test's own
