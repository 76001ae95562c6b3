"""Requests that come and go in any order, on the demo weights: each answer is what it is alone."""

import gc
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import engines
from app.checkpoints import resolve
from app.engines.batched.engine import BatchedEngine
from app.engines.interface import EngineOptions, Window, WindowOptions, WindowResult
from app.settings import Settings
from app.waveform import SAMPLE_RATE, Samples
from tests.oracle.recordings import noise, sample

SOUNDS = {
    "sentence": lambda: sample("flagship.wav"),
    "german": lambda: sample("german.wav")[: 2 * SAMPLE_RATE],
    "numbers": lambda: sample("numbers.wav")[: 3 * SAMPLE_RATE],
    "noise": lambda: noise(1),
}

EN = WindowOptions(language="en")
OPTIONS = {
    "plain": EN,
    "never ending": replace(EN, temperature=1.0, suppress_tokens=(50257,)),
    "german, after text": WindowOptions(language="de", prompt=tuple(range(300, 340))),
    "translated": WindowOptions(task="translate", language="fr"),
    "beams": replace(EN, beam_size=3, patience=1.5),
    "samples": replace(EN, temperature=0.6, best_of=3, seed=4),
    "nothing suppressed": replace(EN, suppress_tokens=()),
}

CAPACITY = 6
"""Few enough that windows wait for room."""


@pytest.fixture(scope="module")
def engine() -> Iterator[BatchedEngine]:
    options = EngineOptions(threads=1, batch=CAPACITY)
    started = engines.start("batched", resolve(Settings(model="demo")), "cpu", options)
    assert isinstance(started, BatchedEngine)
    yield started
    started.close()


@dataclass(frozen=True)
class Request:
    """A recording and one or two decodes of its first window.

    `pause` comes before it; after `leaves` milliseconds, if at all, its client has gone.
    """

    sound: str
    options: tuple[str, ...]
    pause: int
    leaves: int | None
    cancels: bool


REQUESTS = st.builds(
    Request,
    sound=st.sampled_from(sorted(SOUNDS)),
    options=st.lists(st.sampled_from(sorted(OPTIONS)), min_size=1, max_size=2).map(tuple),
    pause=st.sampled_from([0, 0, 0, 3, 20, 60]),
    leaves=st.sampled_from([None, None, None, 0, 5, 30, 120]),
    cancels=st.sampled_from([False, False, False, False, True]),
)


@dataclass
class Running:
    """A request under way."""

    request: Request
    window: Window
    futures: list[Future[WindowResult]]
    leaves_at: float | None

    def leave_in_time(self) -> None:
        """Close the recording once its client's time has come."""
        if self.leaves_at is not None and time.monotonic() >= self.leaves_at:
            self.window.recording.close()


def begin(engine: BatchedEngine, request: Request) -> Running:
    time.sleep(request.pause / 1000)
    window = whole(engine, SOUNDS[request.sound]())
    futures = [engine.submit(window, OPTIONS[name]) for name in request.options]
    if request.cancels:
        futures[-1].cancel()
    leaves_at = None if request.leaves is None else time.monotonic() + request.leaves / 1000
    return Running(request, window, futures, leaves_at)


def whole(engine: BatchedEngine, samples: Samples) -> Window:
    recording = engine.open(samples)
    return Window(recording, 0, recording.frames)


@cache
def alone(engine: BatchedEngine, sound: str, options: str) -> WindowResult:
    """The answer with nothing else to do."""
    return engine.submit(whole(engine, SOUNDS[sound]()), OPTIONS[options]).result(60)


@pytest.mark.slow
@given(requests=st.lists(REQUESTS, min_size=2, max_size=9))
@settings(max_examples=10, deadline=None, derandomize=True, database=None)
def test_every_answer_is_what_it_is_alone(engine: BatchedEngine, requests: list[Request]) -> None:
    expected = {
        (request.sound, name): alone(engine, request.sound, name)
        for request in requests
        for name in request.options
    }
    running = []
    for request in requests:
        running.append(begin(engine, request))
        for earlier in running:
            earlier.leave_in_time()
    wait(running)
    for one in running:
        for name, future in zip(one.request.options, one.futures, strict=True):
            check(one, future, expected[one.request.sound, name])
    del one, earlier, future, running
    assert_empty(engine)


def wait(running: list[Running]) -> None:
    deadline = time.monotonic() + 120
    while not all(future.done() for one in running for future in one.futures):
        assert time.monotonic() < deadline
        for one in running:
            one.leave_in_time()
        time.sleep(0.002)


def check(one: Running, future: Future[WindowResult], expected: WindowResult) -> None:
    """Only who left or cancelled may be without an answer; every answer is the right one."""
    try:
        found = future.result()
    except CancelledError:
        assert one.window.recording.closed or one.request.cancels
        return
    assert found.tokens == expected.tokens
    assert found.avg_logprob == pytest.approx(expected.avg_logprob, abs=1e-4)
    assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-4)


def assert_empty(engine: BatchedEngine) -> None:
    """Nothing runs, waits or is kept for anybody."""
    deadline = time.monotonic() + 60
    while engine._scheduled:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert engine._runner.batch.size == 0
    assert engine._running == {}
    assert engine._scheduler.waiting == 0
    gc.collect()
    assert len(engine._runner.windows._features) == len(engine._runner.windows._cross_kv) == 0
