"""Clients that send the same upload, leave and come back at any moment, and are told what all are told."""

import io
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import waiting
from app.engines.interface import Window, WindowOptions, WindowResult
from app.errors import ClientGone
from app.request_context import RequestContext
from app.transcript import Transcript
from app.transcription.request import Chunking, Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from tests.scripted_engine import ScriptedEngine, result, silence, spell, ts
from tests.transcripts import transcribe

SECONDS = 150.0
WINDOW_SECONDS = 0.002
REQUESTS = {
    "whole": TranscriptionRequest(word_timestamps=True, logprobs=True),
    "pieces": TranscriptionRequest(chunking=Chunking(), temperatures=(0.0, 0.4)),
    "channels": TranscriptionRequest(by_channel=True, language="en"),
}
AT_ONCE = {"whole": 1, "pieces": 5, "channels": 2}
"""The most windows that each has with the engine at a time."""
POLICY = Policy(find_speech=lambda samples, chunking: [(s, s + 25.0) for s in range(0, int(SECONDS), 30)])


def answer(window: Window, options: WindowOptions) -> WindowResult:
    """Another text for all that a window may be asked with; every other one has to be tried again hotter."""
    told = crc32(repr((window.seek, window.frames, options)).encode())
    unsure = options.temperature < 0.4 and told % 2
    spoken = (ts(0), *spell(f" {told}."), ts(20 + told % 8))
    return result(*spoken, temperature=options.temperature, avg_logprob=-1.5 if unsure else -0.2)


class BusyEngine(ScriptedEngine):
    """Takes its time for each window, in a thread of its own, and drops those that nobody wants any more."""

    def __init__(self) -> None:
        super().__init__(answer)
        self.thread = ThreadPoolExecutor(1)

    def submit(self, window: Window, options: WindowOptions) -> Future[Any]:
        future: Future[Any] = Future()
        self.thread.submit(self._decode, future, window, options)
        return future

    def _decode(self, future: Future[Any], window: Window, options: WindowOptions) -> None:
        if window.recording.closed:
            future.cancel()
            return
        future.set_running_or_notify_cancel()
        said = super().submit(window, options)
        time.sleep(WINDOW_SECONDS)
        if window.recording.closed:
            future.set_exception(CancelledError())
        else:
            future.set_result(said.result())

    def close(self) -> None:
        self.thread.shutdown()


@contextmanager
def busy_engine() -> Iterator[BusyEngine]:
    engine = BusyEngine()
    yield engine
    engine.close()


def ask(
    uploads: ResumeStore,
    engine: ScriptedEngine,
    request: TranscriptionRequest,
    gone: Callable[[], bool],
    arrived: Callable[[], None] = lambda: None,
) -> Transcript:
    audio = silence(SECONDS)
    samples = silence(2 * SECONDS).reshape(2, -1) if request.by_channel else audio
    context = RequestContext.of(60, gone)
    with uploads.resuming(engine, io.BytesIO(b"audio"), request, context) as seen:
        arrived()
        return transcribe(seen, samples, request, POLICY, context)


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, tuple[Transcript, int]]:
    """Each request's answer, and how many windows it decodes."""
    answers = {}
    for name, request in REQUESTS.items():
        engine = ScriptedEngine(answer)
        answers[name] = (ask(ResumeStore(0), engine, request, lambda: False), len(engine.decoded))
    return answers


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request sees within a window that its client has gone."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", WINDOW_SECONDS / 4)


MOMENTS = st.floats(0, 12)
"""In windows that the engine could have decoded."""


class Queue:
    """Clients that come and go, and in which order they came."""

    def __init__(self, engine: BusyEngine, request: TranscriptionRequest) -> None:
        self.uploads = ResumeStore(3_600)
        self.engine = engine
        self.request = request
        self.arrived: list[float] = []

    def visit(self, arrives: float, stays: float) -> Transcript | None:
        """The answer, unless the client has left before."""
        time.sleep(arrives * WINDOW_SECONDS)
        leaves = time.monotonic() + stays * WINDOW_SECONDS
        try:
            return ask(
                self.uploads,
                self.engine,
                self.request,
                gone=lambda: time.monotonic() > leaves,
                arrived=lambda: self.arrived.append(stays),
            )
        except ClientGone:
            return None


@pytest.mark.parametrize("name", REQUESTS)
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(visits=st.lists(st.tuples(MOMENTS, MOMENTS), max_size=4), arrives=MOMENTS)
def test_the_answer_is_the_undisturbed_one(
    watchful: None, undisturbed, name: str, visits: list[tuple[float, float]], arrives: float
) -> None:
    expected, windows = undisturbed[name]
    with busy_engine() as engine, ThreadPoolExecutor(len(visits) + 1) as threads:
        queue = Queue(engine, REQUESTS[name])
        others = [threads.submit(queue.visit, *moments) for moments in visits]
        last = threads.submit(queue.visit, arrives, math.inf)
        assert last.result(60) == expected
        answers = [other.result(60) for other in others]
    assert all(answer in (None, expected) for answer in answers)
    assert all(recording.closed for recording in engine.recordings)
    if not any(answers) and queue.arrived[-1] == math.inf:
        # who leaves costs no more than what was being decoded just then
        assert len(engine.decoded) <= windows + AT_ONCE[name] * len(visits)
    queue.uploads.close()
