"""An Engine without a model, for tests of what sits above engines: its windows answer by script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from app.engines.interface import (
    Engine,
    ModelCard,
    Wait,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
    wait_patiently,
)
from app.scheduling import SchedulingClass
from app.waveform import Samples

TIMESTAMP_BEGIN = 1_000
EOT = 900

Answer = Callable[[Window, WindowOptions], WindowResult]


def ts(seconds: float) -> int:
    """The timestamp token of a time in the window."""
    return TIMESTAMP_BEGIN + round(seconds * 50)


def result(*tokens: int, **changes: Any) -> WindowResult:
    """A sound result with these tokens."""
    values = {"avg_logprob": -0.2, "no_speech_prob": 0.01, "compression_ratio": 1.0, "temperature": 0.0}
    return WindowResult(tokens=tokens, **{**values, **changes})


class LetterTokenizer:
    """One token per character: its code point. Codes above 800 stand for half a character."""

    eot = EOT
    timestamp_begin = TIMESTAMP_BEGIN

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join("\ufffd" if token > 800 else chr(token) for token in tokens if token < EOT)

    def token_bytes(self, token: int) -> bytes:
        return self.decode([token]).encode()


@dataclass
class ScriptedRecording:
    frames: int
    scheduling_class: SchedulingClass = SchedulingClass.UPLOAD
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedEngine:
    """Answers each window with `answer(window, options)`; keeps what it was asked in `decoded`.

    `calls` are the names of all calls with their windows' positions.
    """

    answer: Answer
    languages: dict[str, float] = field(default_factory=lambda: {"en": 0.9, "de": 0.1})
    words: list[WordTiming] = field(default_factory=list)
    decoded: list[tuple[int, int, WindowOptions]] = field(default_factory=list)
    detected: list[tuple[int, int]] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)
    recordings: list[ScriptedRecording] = field(default_factory=list)
    alive: bool = True
    warm_up_seconds: float = 0.0
    others_seconds: float = 0.0

    @property
    def card(self) -> ModelCard:
        return ModelCard("scripted", ("en", "de"), True, 448)

    def tokenizer(self, language: str | None, task: str) -> LetterTokenizer:
        return LetterTokenizer()

    def open(
        self,
        samples: Samples,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
        wait: Wait = wait_patiently,
    ) -> ScriptedRecording:
        wait(done(lambda: None))
        self.recordings.append(ScriptedRecording(len(samples) // 160, scheduling_class))
        return self.recordings[-1]

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        self.decoded.append((window.seek, window.frames, options))
        self.calls.append(("submit", window.positions))
        return done(self.answer, window, options)

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Any:
        self.calls.append(("score", window.positions))
        return done(lambda: [-float(place) for place, _ in enumerate(tokens)])

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        self.detected.append((window.seek, window.frames))
        self.calls.append(("detect_language", window.positions))
        return done(lambda: self.languages)

    def align(self, window: Window, tokens: Sequence[int], language: str | None, task: str) -> Any:
        self.calls.append(("align", window.positions))
        return done(lambda: self.words)

    def close(self) -> None:
        self.alive = False


if TYPE_CHECKING:
    STANDS_FOR: type[Engine] = ScriptedEngine


def done(work: Callable[..., Any], *args: Any) -> Future[Any]:
    """A future that has finished with what `work` gives or raises."""
    future: Future[Any] = Future()
    try:
        future.set_result(work(*args))
    except Exception as error:
        future.set_exception(error.with_traceback(None))  # which would keep this frame and its future
    return future


def spell(text: str) -> tuple[int, ...]:
    """Text as tokens."""
    return tuple(LetterTokenizer().encode(text))


def silence(seconds: float) -> Samples:
    """Zeros at 16 kHz."""
    return np.zeros(int(seconds * 16_000), np.float32)
