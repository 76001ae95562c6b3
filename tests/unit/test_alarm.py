"""A call at a later time: the earliest counts, and none is lost."""

import threading
from math import inf
from time import monotonic

import pytest

from app.alarm import Alarm
from tests.threads import no_thread

PATIENCE_SECONDS = 60


def test_the_earliest_time_counts() -> None:
    rung = threading.Event()
    alarm = Alarm(rung.set, monotonic)
    alarm.set(monotonic() + 3600)
    alarm.set(monotonic())
    alarm.set(inf)
    assert rung.wait(PATIENCE_SECONDS)


def test_after_it_rang_a_later_time_counts() -> None:
    rung = threading.Event()
    alarm = Alarm(rung.set, lambda: 0.0)
    for _ in range(2):
        alarm.set(0.01)
        assert rung.wait(PATIENCE_SECONDS)
        rung.clear()
        alarm.rang()


def test_once_it_is_cancelled_it_does_not_ring() -> None:
    before = set(threading.enumerate())
    alarm = Alarm(lambda: pytest.fail("it rang"), lambda: 0.0)
    alarm.set(3600)
    [timer] = set(threading.enumerate()) - before
    alarm.cancel()
    timer.join(PATIENCE_SECONDS)
    assert not timer.is_alive()


def test_where_no_thread_can_be_started_the_next_time_counts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rung = threading.Event()
    alarm = Alarm(rung.set, lambda: 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        alarm.set(0)
    assert "can't start new thread" in caplog.text
    alarm.set(0.01)
    assert rung.wait(PATIENCE_SECONDS)
