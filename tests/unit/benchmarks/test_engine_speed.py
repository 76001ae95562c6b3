"""The parts of the comparison that need no engine."""

from collections.abc import Callable

import numpy as np
import pytest

from app.waveform import Samples
from benchmarks.contenders import pieces
from benchmarks.engine_speed import CASES, PAIRS, Audio, Case, Times, measure, rows, verdict

NAMES = ("openai-whisper", "faster-whisper float32", "faster-whisper int8", "batched exact", "batched int8")
CASE = Case("x", "a case", lambda contender, audio: lambda: contender.hear(audio.window), (1.9, 1.2, 1.4))
AUDIO = Audio(np.zeros(16_000, np.float32), [], np.zeros(0, np.float32))


class Counting:
    """A Contender that hears `tokens` tokens in any window."""

    def __init__(self, name: str, tokens: int) -> None:
        self.name = name
        self.heard: list[int] = []
        self._tokens = tokens

    def hear(self, samples: Samples, language: str | None = "en", beam_size: int | None = None) -> int:
        self.heard.append(len(samples))
        return self._tokens

    def hear_all(self, recordings: list[Samples]) -> int:
        return sum(map(self.hear, recordings))

    def hear_in_pieces(self, samples: Samples) -> int:
        return self.hear(samples)

    def aligner(self, samples: Samples) -> Callable[[], int]:
        return lambda: self.hear(samples)


def times(*rounds: tuple[float, ...]) -> Times:
    return Times(CASE, {name: [row[i] for row in rounds] for i, name in enumerate(NAMES)})


def test_every_contender_is_measured_in_every_round() -> None:
    contenders = [Counting("a", 7), Counting("b", 7)]
    found = measure(CASE, contenders, AUDIO, rounds=3)
    assert [contender.heard for contender in contenders] == [[16_000] * 3] * 2
    assert {name: len(seconds) for name, seconds in found.seconds.items()} == {"a": 3, "b": 3}


def test_different_work_is_no_comparison() -> None:
    with pytest.raises(RuntimeError, match=r"\(x\) is not the same work for all: {'a': 7, 'b': 6}"):
        measure(CASE, [Counting("a", 7), Counting("b", 6)], AUDIO, rounds=1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_every_case_hears_something(case: Case) -> None:
    second = np.zeros(16_000, np.float32)
    contender = Counting("a", 7)
    heard = case.prepare(contender, Audio(second, [second] * 8, second))()
    assert heard == 7 * len(contender.heard) > 0


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    noisy = times((4, 3, 2, 2, 1), (40, 3, 2, 10, 1), (6, 3, 2, 2, 1))
    assert noisy.speed_over("batched exact", "openai-whisper") == 3
    assert noisy.typical("openai-whisper") == 6


@pytest.mark.parametrize(
    ("ratio", "goal", "shown"),
    [
        (1.234, None, "1.23"),
        (1.9, 1.9, "1.90 (goal 1.9: reached)"),
        (1.85, 1.9, "1.85 (goal 1.9: reached)"),
        (1.84, 1.9, "1.84 (goal 1.9: missed)"),
        (5.2, 4.0, "5.20 (goal 4: reached)"),
    ],
)
def test_a_ratio_beside_its_goal(ratio: float, goal: float | None, shown: str) -> None:
    assert verdict(ratio, goal) == shown


def test_the_table() -> None:
    head, rule, line = rows([times((4, 3, 2, 2, 1))])
    assert head.count("|") == rule.count("|") == line.count("|") == 3 + len(NAMES) + len(PAIRS)
    assert line == (
        "| (x) a case | 1 | 4.00 s | 3.00 s | 2.00 s | 2.00 s | 1.00 s "
        "| 2.00 (goal 1.9: reached) | 1.50 (goal 1.2: reached) | 2.00 (goal 1.4: reached) |"
    )


def test_a_case_without_goals_has_plain_ratios() -> None:
    *_, line = rows([Times(Case("y", "other", CASE.prepare), times((4, 3, 2, 2, 1)).seconds)])
    assert line.endswith("| 2.00 | 1.50 | 2.00 |")


def test_audio_has_windows_and_a_long_recording() -> None:
    audio = Audio.of(minutes=1)
    assert [len(window) for window in audio.windows] == [30 * 16_000] * 8
    assert len(audio.window) == 30 * 16_000
    assert len(audio.long) == 60 * 16_000


@pytest.mark.parametrize(
    ("seconds", "spans"), [(30, [(0, 30)]), (60, [(0, 30), (30, 60)]), (45, [(0, 30), (30, 45)])]
)
def test_pieces_are_windows(seconds: int, spans: list[tuple[float, float]]) -> None:
    assert list(pieces(np.zeros(seconds * 16_000, np.float32))) == spans
