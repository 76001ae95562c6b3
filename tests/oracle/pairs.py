"""What the comparisons of the batched engine with openai-whisper have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.engines.batched.engine import BatchedEngine
from app.engines.interface import WINDOW_FRAMES, WINDOW_POSITIONS, Window, WindowOptions, WindowResult
from app.engines.reference import ReferenceEngine
from benchmarks.parting import gap
from tests.oracle.recordings import RECORDINGS

PROMPT = tuple((token * 7919) % 40_000 for token in range(1, 400))


@dataclass(frozen=True)
class Case:
    """A window of a recording and how it is decoded."""

    recording: str
    options: WindowOptions
    seek: int = 0
    frames: int = WINDOW_FRAMES
    positions: int = WINDOW_POSITIONS


CASES = {
    "plain": Case("one sentence", WindowOptions(language="en")),
    "another language after text": Case("german", WindowOptions(language="de", prompt=PROMPT[:20])),
    "translated": Case("numbers", WindowOptions(task="translate", language="fr", prompt=PROMPT[30:35])),
    "nothing suppressed": Case(
        "three utterances", WindowOptions(language="en", suppress_tokens=(), suppress_blank=False)
    ),
    "more suppressed": Case("a minute", WindowOptions(language="ja", suppress_tokens=(-1, 440, 3310)), 3000),
    "five beams": Case("another synthesizer", WindowOptions(language="en", beam_size=5)),
    "patient beams": Case(
        "held tones", WindowOptions(language="es", beam_size=3, patience=2.0, length_penalty=0.6)
    ),
    "a short window": Case("a minute", WindowOptions(language="en", prompt=PROMPT[:3]), 700, 150),
    "a short context": Case("one sentence", WindowOptions(language="en"), positions=384),
    "beams in a short context": Case(
        "a minute", WindowOptions(language="en", beam_size=3, prompt=PROMPT[:3]), 700, 500, positions=512
    ),
    "after as much text as fits": Case("noise", WindowOptions(language="en", prompt=PROMPT)),
}


class Held:
    """A case's window on one engine; as long as it is held, its features are."""

    def __init__(self, engine: Any, case: Case) -> None:
        recording = engine.open(RECORDINGS[case.recording]())
        frames = min(case.frames, recording.frames - case.seek)
        self.window = Window(recording, case.seek, frames, case.positions)


@dataclass
class Pair:
    """The oracle and the engine under test, on the same weights."""

    reference: ReferenceEngine
    batched: BatchedEngine
    cases: dict[str, Case] = field(default_factory=lambda: CASES)
    theirs: dict[str, Held] = field(default_factory=dict)
    ours: dict[str, Held] = field(default_factory=dict)
    answers: dict[str, WindowResult] = field(default_factory=dict)

    def expected(self, name: str) -> WindowResult:
        """What openai-whisper says to a case."""
        if name not in self.answers:
            window = self.theirs.setdefault(name, Held(self.reference, self.cases[name])).window
            self.answers[name] = self.reference.submit(window, self.cases[name].options).result()
        return self.answers[name]

    def window(self, name: str) -> Window:
        """A case's window on the batched engine."""
        if name not in self.ours:
            self.ours[name] = Held(self.batched, self.cases[name])
        return self.ours[name].window

    @cached_property
    def model(self) -> Any:
        """openai-whisper's own."""
        return self.reference._model

    def close(self) -> None:
        self.reference.close()
        self.batched.close()


class StartedPairs(dict[str, Pair]):
    """By size; `start` makes one when it is asked for."""

    def __init__(self, start: Callable[[str], Pair]) -> None:
        super().__init__()
        self._start = start

    def __missing__(self, size: str) -> Pair:
        self[size] = self._start(size)
        return self[size]

    def close(self) -> None:
        for pair in self.values():
            pair.close()


def near_tie(pair: Pair, name: str, found: WindowResult, close: float) -> bool:
    """Whether the two texts part where openai-whisper itself is undecided: two tokens are that close."""
    expected, options = pair.expected(name), pair.cases[name].options
    if options.beam_size:
        return abs(expected.avg_logprob - found.avg_logprob) < close
    features = pair.reference._encode(pair.theirs[name].window)
    whisper_options = pair.reference._decoding_options(options)
    return gap(pair.model, features, whisper_options, expected.tokens, found.tokens) < close
