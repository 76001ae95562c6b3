"""A short context beside the full one, as a table."""

import numpy as np

from app.engines.interface import Window, WindowOptions, WindowResult
from benchmarks.short_context import HEADINGS, Heard, Listener, Totals, rows
from benchmarks.speech import Recording
from tests.scripted_engine import ScriptedEngine, result, spell, ts


def recording(text: str, seconds: float) -> Recording:
    return Recording(text, np.zeros(round(seconds * 16_000), np.float32), text, "en")


def test_sums_over_clips() -> None:
    totals = Totals()
    said = recording("red green blue", 2.0)
    full, short = Heard("Red green, blue.", 1.0, short=False), Heard("red green", 0.25, short=True)
    totals.add(said, {"full": full, "short": short})
    totals.add(
        recording("white", 4.0), {"full": Heard("white", 1.0, False), "short": Heard("white", 0.75, False)}
    )
    assert list(totals.cells()) == [
        *("2", "3.0 s"),
        "1.00 s, 0 of 4, 0.0%",
        "0.50 s, 1 of 4, 25.0%",
        *("2.00", "1", "1"),
    ]


class Listening(Listener):
    """Hears speech in silence, too."""

    def __init__(self, engine: ScriptedEngine) -> None:
        super().__init__(engine)
        self._policy = type(self._policy)()


def test_each_clip_is_heard_in_both_contexts_and_either_comes_first_in_turn() -> None:
    def answer(window: Window, options: WindowOptions) -> WindowResult:
        return result(ts(0), *spell(" short" if window.is_short else " full"), ts(1))

    engine = ScriptedEngine(answer)
    said = [recording("full", 1.8), recording("full", 1.8), recording("full", 9.0)]
    head, line, two, five, ten, twenty = rows(Listening(engine), {"a set": said})
    assert head == f"| {' | '.join(HEADINGS)} |"
    assert line.count("---") == len(HEADINGS)
    assert two.startswith("| a set | 2 s | 2 | 1.8 s | ")
    assert two.endswith(" | 2 | 0 |")
    assert "2 of 2, 100.0%" in two
    assert five.startswith("| a set | 5 s | 1 | 3.9 s | ")
    assert [each.split(" | ")[1:3] for each in (ten, twenty)] == [["10 s", "2"], ["20 s", "1"]]
    assert engine.calls[:4] == [("submit", 384), ("submit", 1500), ("submit", 1500), ("submit", 384)]
