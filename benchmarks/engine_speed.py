"""This engine's speed beside openai-whisper's and faster-whisper's, with the same weights.

All run in turn in one process, on one thread each, over the same recordings, and say as many tokens.
Prints a table in Markdown: a ratio is the median of those of each round.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np

from app.waveform import Samples
from benchmarks import random_weights, recordings
from benchmarks.contenders import LANGUAGE, WINDOW_SECONDS, Contender

TOKENS = 100
"""Tokens of text in each window of 30 s, about as many as speech has."""
TOLERANCE = 0.03
"""A ratio so much under its goal still reaches it."""
AT_ONCE = 8
ALIGNMENTS = 5
"""One takes so little that what another program did before it counts; in a request it follows its window."""

PAIRS = (
    ("batched exact", "openai-whisper"),
    ("batched exact", "faster-whisper float32"),
    ("batched int8", "faster-whisper int8"),
)
"""Who is compared with whom; the order of every case's goals."""

Goals = tuple[float, float, float]


class Audio(NamedTuple):
    """What all contenders hear: one window, several of one window each, and a long recording."""

    window: Samples
    windows: list[Samples]
    long: Samples

    @classmethod
    def of(cls, minutes: int) -> "Audio":
        """Synthesized speech, each window another stretch of it."""
        spoken = recordings.speech(WINDOW_SECONDS * AT_ONCE)
        shifted = [np.roll(spoken, -7 * i) for i, spoken in enumerate(np.split(spoken, AT_ONCE))]
        return cls(shifted[0], shifted, recordings.speech(60 * minutes))


Prepare = Callable[[Contender, Audio], Callable[[], int]]
"""Does what is not measured, and returns what is: its result is how many text tokens came out."""


def _in_a_row(work: Callable[[], int]) -> Callable[[], int]:
    return lambda: sum(work() for _ in range(ALIGNMENTS))


@dataclass(frozen=True)
class Case:
    """A kind of request. `long` ones have rounds of their own number."""

    key: str
    meaning: str
    prepare: Prepare
    goals: Goals | None = None
    long: bool = False


CASES = (
    Case(
        "a",
        "one window, language given",
        lambda contender, audio: lambda: contender.hear(audio.window),
        (1.4, 1.15, 1.2),
    ),
    Case(
        "a'",
        "one window, language detected",
        lambda contender, audio: lambda: contender.hear(audio.window, None),
        (1.7, 1.15, 1.2),
    ),
    Case(
        "d",
        "one window, beam 5",
        lambda contender, audio: lambda: contender.hear(audio.window, LANGUAGE, 5),
        (4.0, 1.4, 1.1),
    ),
    Case(
        "e",
        f"word alignment alone, {ALIGNMENTS} in a row",
        lambda contender, audio: _in_a_row(contender.aligner(audio.window)),
        (5.0, 2.0, 2.0),
    ),
    Case(
        "b",
        "eight concurrent requests",
        lambda contender, audio: lambda: contender.hear_all(audio.windows),
        (1.9, 1.2, 1.4),
        long=True,
    ),
    Case(
        "c",
        "long recording",
        lambda contender, audio: lambda: contender.hear(audio.long),
        long=True,
    ),
    Case(
        "c'",
        "long recording, chunked",
        lambda contender, audio: lambda: contender.hear_in_pieces(audio.long),
        (1.8, 1.2, 1.4),
        long=True,
    ),
)


@dataclass(frozen=True)
class Times:
    """Seconds that a case took, for each contender by name, one for each round."""

    case: Case
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def typical(self, name: str) -> float:
        """The median."""
        return median(self.seconds[name])

    def speed_over(self, name: str, other: str) -> float:
        """How many times as fast as another: the median of the rounds' ratios."""
        return median(
            theirs / own for own, theirs in zip(self.seconds[name], self.seconds[other], strict=True)
        )


def measure(case: Case, contenders: Sequence[Contender], audio: Audio, rounds: int) -> Times:
    """Let every contender do the case in turn. Raises RuntimeError where they don't say as much."""
    works = {contender.name: case.prepare(contender, audio) for contender in contenders}
    times = Times(case, {name: [] for name in works})
    for _ in range(rounds):
        tokens = {}
        for name, work in works.items():
            started = perf_counter()
            tokens[name] = work()
            times.seconds[name].append(perf_counter() - started)
        if len(set(tokens.values())) > 1:
            raise RuntimeError(f"({case.key}) is not the same work for all: {tokens} tokens of text.")
    return times


def rows(results: Iterable[Times]) -> Iterator[str]:
    """A table in Markdown, row by row: median seconds of each contender, then each ratio beside its goal."""
    for number, times in enumerate(results):
        names = list(times.seconds)
        if number == 0:
            yield from _head([*names, *(f"{ours} / {other}" for ours, other in PAIRS)])
        yield _row(_cells(times, names))


def _head(names: Sequence[str]) -> tuple[str, str]:
    head = ["case", "rounds", *names]
    return _row(head), _row(["---"] * len(head))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(times: Times, names: Sequence[str]) -> list[str]:
    case, goals = times.case, times.case.goals or (None,) * len(PAIRS)
    ratios = (times.speed_over(*pair) for pair in PAIRS)
    return [
        f"({case.key}) {case.meaning}",
        str(len(times.seconds[names[0]])),
        *(f"{times.typical(name):.2f} s" for name in names),
        *map(verdict, ratios, goals),
    ]


def verdict(ratio: float, goal: float | None) -> str:
    """A ratio, and whether it reaches its goal if there is one."""
    if goal is None:
        return f"{ratio:.2f}"
    reached = "reached" if ratio >= goal * (1 - TOLERANCE) else "missed"
    return f"{ratio:.2f} (goal {goal:g}: {reached})"


def contenders(checkpoint: Path, size: str, folder: Path) -> list[Contender]:
    """All of them, loaded. faster-whisper's weights are written to `folder`."""
    modules = (
        "ctranslate2_weights",
        "contenders.openai_whisper",
        "contenders.faster_whisper",
        "contenders.ours",
    )
    weights, openai_whisper, faster_whisper, ours = (import_module(f"benchmarks.{name}") for name in modules)
    weights.convert(checkpoint, size, folder)
    return [
        openai_whisper.OpenAIWhisper(checkpoint, size),
        *(faster_whisper.FasterWhisper(folder, precision) for precision in ("float32", "int8")),
        *(ours.Ours(checkpoint, size, precision) for precision in ("exact", "int8")),
    ]


def run(size: str, cases: Sequence[Case], options: argparse.Namespace) -> Iterator[Times]:
    """Measure cases with random weights of a size's dimensions; every contender hears a window before."""
    audio = Audio.of(options.minutes)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / f"{size}-random.pt"
        random_weights.write(checkpoint, random_weights.SIZES[size], TOKENS)
        everyone = contenders(checkpoint, size, Path(folder) / "ctranslate2")
        for contender in everyone:
            contender.hear(audio.window)
        for case in cases:
            rounds = options.long_rounds if case.long else options.rounds
            yield measure(case, everyone, audio, rounds)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table for each size. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="engine_speed", description=__doc__)
    keys = [case.key for case in CASES]
    parser.add_argument("--sizes", nargs="+", choices=random_weights.SIZES, default=["tiny", "base"])
    parser.add_argument("--cases", nargs="+", choices=keys, default=keys, help=f"default: {' '.join(keys)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of cases with one window (5)")
    parser.add_argument("--long-rounds", type=int, default=5, help="rounds of the other cases (5)")
    parser.add_argument("--minutes", type=int, default=10, help="length of the long recording (10)")
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if case.key in options.cases]
    for size in options.sizes:
        print(f"\n### {size}, load average {os.getloadavg()[0]:.1f}\n", flush=True)
        for row in rows(run(size, cases, options)):
            print(row, flush=True)
        print(f"\nLoad average after it {os.getloadavg()[0]:.1f}.", flush=True)


if __name__ == "__main__":
    main()
