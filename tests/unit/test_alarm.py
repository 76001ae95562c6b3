"""When an alarm rings, by the timers that it starts."""

from math import inf

import pytest

from app import alarm as alarm_module
from app.alarm import Alarm


class Timer:
    """One that never runs out by itself."""

    def __init__(self, seconds: float, ring: object) -> None:
        self.seconds, self.ring = seconds, ring
        self.running = self.daemon = False

    def start(self) -> None:
        assert self.daemon
        self.running = True

    def cancel(self) -> None:
        self.running = False


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Timer]:
    made: list[Timer] = []
    monkeypatch.setattr(alarm_module, "Timer", lambda *args: made.append(Timer(*args)) or made[-1])
    return made


def running(timers: list[Timer]) -> list[float]:
    return [timer.seconds for timer in timers if timer.running]


def test_the_earliest_time_counts(timers: list[Timer]) -> None:
    alarm = Alarm(lambda: None)
    for at in (inf, 20.0, 30.0, 15.0, 15.0):
        alarm.set(at, 10.0)
    assert running(timers) == [5.0]
    assert len(timers) == 2


def test_after_it_has_rung_the_next_time_counts(timers: list[Timer]) -> None:
    alarm = Alarm(lambda: None)
    alarm.set(20.0, 10.0)
    alarm.rung()
    alarm.set(30.0, 20.0)
    assert [timer.seconds for timer in timers] == [10.0, 10.0]


def test_cancelled_it_does_not_ring(timers: list[Timer]) -> None:
    alarm = Alarm(lambda: None)
    alarm.cancel()
    alarm.set(20.0, 10.0)
    alarm.cancel()
    assert running(timers) == []
