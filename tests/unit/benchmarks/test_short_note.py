"""A note beside a meeting, with a scripted engine."""

from concurrent.futures import Future
from threading import Semaphore
from time import sleep

import pytest

from app.engines.interface import WINDOW_FRAMES, Window, WindowOptions, WindowResult
from app.transcription.request import Chunking
from benchmarks.short_note import Waits, measure, table
from tests.scripted_engine import ScriptedEngine, result, spell, ts

PATIENCE_SECONDS = 60
HEARD = result(ts(0.0), *spell(" Hello."), ts(2.0))


def slow_meeting(window: Window, options: WindowOptions) -> WindowResult:
    if window.frames == WINDOW_FRAMES:
        sleep(0.2)
    return HEARD


@pytest.mark.parametrize(("beside", "verdict"), [(5.0, "kept"), (5.1, "broken")])
def test_the_table(beside: float, verdict: str) -> None:
    line = table(Waits(alone=2.0, beside=[3.0, beside, 7.0], encode=1.0)).splitlines()[-1]
    assert line == f"| 3 | 2.00 s | 1.00 s | {beside:.2f} s | 7.00 s | 5.00 s | {verdict} |"


def test_notes_are_heard_while_the_meeting_goes_on() -> None:
    engine = ScriptedEngine(slow_meeting)
    waits = measure(engine, minutes=10, rounds=2)
    assert min(waits.alone, *waits.beside, waits.encode) > 0
    notes = [frames for _, frames, _ in engine.decoded if frames < WINDOW_FRAMES]
    assert notes == [500] * 4
    assert len(engine.decoded) < 4 + 20  # the meeting ends with the measurement


class HeldEngine(ScriptedEngine):
    """Answers the first window of the meeting once so many others are submitted, and those never."""

    def __init__(self, others: int) -> None:
        super().__init__(lambda window, options: HEARD)
        self._others = Semaphore(0)
        self._expected = others

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        if window.seek:
            self._others.release()
            return Future()
        if window.frames == WINDOW_FRAMES:
            assert all(self._others.acquire(timeout=PATIENCE_SECONDS) for _ in range(self._expected))
        return super().submit(window, options)


def test_the_windows_of_a_chunked_meeting_come_at_once() -> None:
    engine = HeldEngine(others=15)
    measure(engine, minutes=10, rounds=1, chunking=Chunking())
    assert len(engine.decoded) == 2 + 1


def test_a_meeting_that_is_over_measures_nothing() -> None:
    engine = ScriptedEngine(lambda window, options: HEARD)
    with pytest.raises(RuntimeError, match="over before the note"):
        measure(engine, minutes=1, rounds=50)
