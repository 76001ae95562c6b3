"""What the engine has said about an upload, for a client that loses its connection and sends it again.

Windows are deterministic, so a request that asks the engine what another has asked is told the same.
Only results are kept, never audio or features.
"""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from app.engines.interface import (
    Engine,
    EngineProxy,
    Recording,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
)
from app.transcript import Task
from app.waveform import Samples

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Question:
    """Something to be asked of the engine for one request; `key` says all that the answer depends on."""

    key: Hashable
    recording: Recording
    ask: Callable[[], Future[Any]]
    answer: Future[Any] = field(default_factory=Future)


class Memory:
    """What the engine has said about one upload, and what it is being asked."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[Hashable, Any] = {}
        self._asked: dict[Hashable, _Question] = {}

    def __len__(self) -> int:
        """How many answers are known or awaited."""
        with self._lock:
            return len(self._known) + len(self._asked)

    def answer(self, key: Hashable, recording: Recording, ask: Callable[[], Future[T]]) -> Future[T]:
        """What `ask()` gives, if it is not known. What another request is asking is waited for, and asked
        for this one's `recording` if nothing comes of it. Cancelled with the recording.
        """
        question = _Question(key, recording, ask)
        self._look(question)
        return question.answer

    def _look(self, question: _Question) -> None:
        if question.recording.closed:
            question.answer.cancel()
            return
        with self._lock:
            known = question.key in self._known
            first = question if known else self._asked.setdefault(question.key, question)
        # Outside the lock: a future that is done calls back at once.
        if known:
            question.answer.set_result(self._known[question.key])
        elif first is question:
            question.ask().add_done_callback(partial(self._settle, question))
        else:
            first.answer.add_done_callback(lambda _: self._look(question))

    def _settle(self, question: _Question, said: Future[Any]) -> None:
        error = CancelledError() if said.cancelled() else said.exception()
        with self._lock:
            del self._asked[question.key]
            if error is None:
                self._known[question.key] = said.result()
        if error is None:
            question.answer.set_result(said.result())
        elif isinstance(error, CancelledError):
            question.answer.cancel()
        else:
            question.answer.set_exception(error)


class RememberingEngine(EngineProxy):
    """An Engine for one request, which asks the real one only what nobody has asked about its upload.

    Recordings are told apart by the order in which they are opened.
    """

    def __init__(self, engine: Engine, memory: Memory) -> None:
        super().__init__(engine)
        self._memory = memory
        self._recordings: list[Recording] = []

    def open(self, samples: Samples) -> Recording:
        """Compute the features of 16 kHz mono samples `[n]`."""
        recording = super().open(samples)
        self._recordings.append(recording)
        return recording

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once."""
        return self._answer(window, partial(self._engine.submit, window, options), "submit", options)

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code."""
        return self._answer(window, partial(self._engine.detect_language, window), "detect_language")

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens."""
        ask = partial(self._engine.score, window, options, tokens)
        return self._answer(window, ask, "score", options, tuple(tokens))

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """Place text tokens in time."""
        ask = partial(self._engine.align, window, tokens, language, task)
        return self._answer(window, ask, "align", tuple(tokens), language, task)

    def _answer(self, window: Window, ask: Callable[[], Future[T]], *told: Hashable) -> Future[T]:
        number = next(n for n, opened in enumerate(self._recordings) if opened is window.recording)
        return self._memory.answer((number, window.seek, window.frames, *told), window.recording, ask)
