"""What is counted of an engine's work, in total and for one request."""

from concurrent.futures import CancelledError, Future
from threading import Event
from typing import Any

import pytest

from app.engines.engine_thread import EngineThread
from app.engines.interface import Window, WindowOptions, WindowResult
from app.engines.metered import Meter, MeteredEngine
from app.engines.timed_future import TimedFuture
from app.request_cost import RequestCost
from tests.scripted_engine import ScriptedEngine, result, silence, spell


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter(clock=clock)


def finished(clock: Clock, works: list[Future[Any]], seconds: float) -> None:
    """All of them end after so long, in one step."""
    clock.now += seconds
    for work in works:
        work.set_result(None)


def test_nothing_is_known_before_the_first_window(meter: Meter) -> None:
    assert meter.seconds_per_window == 0.0


def test_the_warm_up_is_a_first_measurement() -> None:
    assert Meter(2.5).seconds_per_window == pytest.approx(2.5)


def test_windows_decoded_together_share_their_time(meter: Meter, clock: Clock) -> None:
    works = [meter.track(Future(), RequestCost(), positions=1500) for _ in range(8)]
    assert meter.windows_in_flight == 8
    finished(clock, works, 4.0)
    assert (meter.windows_in_flight, meter.windows_finished, meter.busy_seconds) == (0, 8, 4.0)
    assert 0.4 < meter.seconds_per_window < 0.55


def test_idle_time_is_not_counted(meter: Meter, clock: Clock) -> None:
    for _ in range(3):
        clock.now += 1000
        finished(clock, [meter.track(Future(), RequestCost(), positions=1500)], 2.0)
    assert meter.busy_seconds == pytest.approx(6.0)
    assert meter.seconds_per_window == pytest.approx(2.0)


def test_overlapping_windows(meter: Meter, clock: Clock) -> None:
    first = meter.track(Future(), RequestCost(), positions=1500)
    clock.now += 1
    second = meter.track(Future(), RequestCost(), positions=1500)
    finished(clock, [first], 2.0)
    finished(clock, [second], 3.0)
    assert meter.busy_seconds == pytest.approx(6.0)
    assert 2.9 < meter.seconds_per_window < 3.1


def test_the_measure_follows_a_change(meter: Meter, clock: Clock) -> None:
    for _ in range(200):
        finished(clock, [meter.track(Future(), RequestCost(), positions=1500)], 1.0)
    for _ in range(200):
        finished(clock, [meter.track(Future(), RequestCost(), positions=1500)], 5.0)
    assert meter.seconds_per_window == pytest.approx(5.0, rel=0.01)


def test_other_work_costs_time_and_is_no_window(meter: Meter, clock: Clock) -> None:
    finished(clock, [meter.track(Future(), RequestCost())], 1.0)
    finished(clock, [meter.track(Future(), RequestCost(), positions=1500)], 1.0)
    assert meter.windows_finished == 1
    assert meter.seconds_per_window == pytest.approx(2.0)


def test_failed_and_cancelled_windows_are_not_finished(meter: Meter, clock: Clock) -> None:
    cost = RequestCost()
    failed, cancelled, running = (meter.track(Future(), cost, positions=1500) for _ in range(3))
    assert cost.totals().unfinished == 3
    failed.set_exception(ValueError())
    cancelled.cancel()
    running.set_running_or_notify_cancel()
    running.set_exception(CancelledError())
    assert (meter.windows_in_flight, meter.windows_finished, meter.windows_failed) == (0, 0, 1)
    assert (cost.totals().windows, cost.totals().unfinished) == (0, 0)
    finished(clock, [meter.track(Future(), cost, positions=1500)], 2.0)
    assert meter.seconds_per_window == pytest.approx(2.0)


def test_what_a_window_costs_goes_by_its_positions(meter: Meter, clock: Clock) -> None:
    for _ in range(200):
        finished(clock, [meter.track(Future(), RequestCost(), positions=375)], 1.0)
    assert meter.windows_finished == 200
    assert meter.seconds_per_window == pytest.approx(1.0)
    assert meter.seconds_per_full_window == pytest.approx(4.0)
    finished(clock, [meter.track(Future(), RequestCost(), positions=1500)], 4.0)
    assert meter.seconds_per_full_window == pytest.approx(4.0)


def test_windows_in_flight_are_what_is_waited_for(meter: Meter, clock: Clock) -> None:
    for _ in range(50):
        finished(clock, [meter.track(Future(), RequestCost(), positions=300)], 0.6)
    works = [meter.track(Future(), RequestCost(), positions=1500) for _ in range(3)]
    assert meter.seconds_per_window == pytest.approx(3.0)
    works.append(meter.track(Future(), RequestCost(), positions=300))
    assert meter.seconds_per_window == pytest.approx(2.4)
    meter.track(Future(), RequestCost())
    assert meter.seconds_per_window == pytest.approx(2.4), "a call without a window is none"
    works[0].cancel()
    assert meter.seconds_per_window == pytest.approx(2.2)
    assert meter.windows_in_flight == 3


class BusyEngine(ScriptedEngine):
    """Its windows are never finished."""

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        return Future()


def test_a_requests_windows_are_counted_by_their_positions() -> None:
    meter = Meter(3.0)
    metered = MeteredEngine(BusyEngine(lambda window, options: result()), meter, RequestCost())
    recording = metered.open(silence(1.0))
    metered.submit(Window(recording, 0, 100, positions=500), WindowOptions())
    assert meter.seconds_per_window == pytest.approx(1.0)
    metered.submit(Window(recording, 0, 100), WindowOptions())
    assert meter.seconds_per_window == pytest.approx(2.0)


def test_a_future_tells_waiting_from_working() -> None:
    thread, gate = EngineThread(), Event()
    first = thread.submit(gate.wait)
    second = thread.submit(lambda: None)
    assert isinstance(first, TimedFuture)
    assert isinstance(second, TimedFuture)
    while not first.running():
        pass
    assert second.model_seconds == 0.0
    assert second.queue_seconds > 0.0
    gate.set()
    second.result()
    thread.close()
    waited, worked = second.queue_seconds, second.model_seconds
    assert (second.queue_seconds, second.model_seconds) == (waited, worked)


def test_a_future_cancelled_while_it_waits_never_worked() -> None:
    future: TimedFuture[None] = TimedFuture()
    future.cancel()
    assert not future.set_running_or_notify_cancel()
    assert future.model_seconds == 0.0


def test_each_request_has_its_own_account(meter: Meter) -> None:
    engine = ScriptedEngine(lambda window, options: result(*spell(" Hi.")))
    one, other = RequestCost(), RequestCost()
    ours, theirs = MeteredEngine(engine, meter, one), MeteredEngine(engine, meter, other)
    window = Window(ours.open(silence(1.0)), 0, 100)
    for metered in (ours, ours, theirs):
        assert metered.submit(window, WindowOptions()).result().tokens == spell(" Hi.")
    ours.detect_language(window).result()
    ours.align(window, [1], "en", "transcribe").result()
    ours.score(window, WindowOptions(), [1]).result()
    assert (one.totals().windows, other.totals().windows, meter.windows_finished) == (2, 1, 3)
    assert (ours.card, ours.tokenizer("en", "transcribe").eot) == (engine.card, 900)


def test_no_request_can_close_the_engine_of_all(meter: Meter) -> None:
    engine = ScriptedEngine(lambda window, options: result(*spell(" Hi.")))
    assert not hasattr(MeteredEngine(engine, meter, RequestCost()), "close")
