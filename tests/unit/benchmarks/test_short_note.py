"""A note beside a meeting, with a scripted engine."""

from time import sleep

import pytest

from app.engines.interface import WINDOW_FRAMES, Window, WindowOptions, WindowResult
from app.transcription.request import Chunking
from benchmarks.short_note import Waits, measure, table
from tests.scripted_engine import ScriptedEngine, result, spell, ts

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


def test_the_windows_of_a_chunked_meeting_come_at_once() -> None:
    engine = ScriptedEngine(slow_meeting)
    measure(engine, minutes=10, rounds=1, chunking=Chunking())
    assert len(engine.decoded) == 2 + 20


def test_a_meeting_that_is_over_measures_nothing() -> None:
    engine = ScriptedEngine(lambda window, options: HEARD)
    with pytest.raises(RuntimeError, match="over before the note"):
        measure(engine, minutes=1, rounds=50)
