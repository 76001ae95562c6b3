"""The GPU's way of decoding on a CPU, against openai-whisper in float16: all but CUDA's kernels and graphs.

float16 weights and activations, every row's copy of its window, steps of a few sizes that are recorded once
and replayed. `whisper.transcribe` computes in float32 on a CPU; `whisper.decode`, which is compared, needn't.
Float16 has three digits: a text may part from openai-whisper's where two tokens are within 0.02.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper.decoding
from torch import Tensor

from app.checkpoints import Checkpoint, resolve
from app.engines.batched.backend import Backend
from app.engines.batched.cross_attention import FloatCrossKV
from app.engines.batched.engine import BatchedEngine
from app.engines.batched.graphs import GraphedDecoder, RowCrossKV
from app.engines.batched.model import Model, load_for
from app.engines.batched.uniform_noise import uniform_noise
from app.engines.engine_thread import EngineThread
from app.engines.interface import Window, WindowOptions, WindowResult
from app.engines.reference import ReferenceEngine
from app.engines.startup import start_engine
from app.engines.whisper_checkpoint import load_whisper
from app.request_context import RequestContext
from app.settings import Settings
from app.transcription.request import Policy, TranscriptionRequest
from tests.oracle.pairs import CASES, PROMPT, Case, Pair, StartedPairs, near_tie
from tests.oracle.random_checkpoints import write
from tests.oracle.recordings import RECORDINGS, SPOKEN
from tests.recorded_steps import record
from tests.transcripts import transcribe

pytestmark = pytest.mark.filterwarnings(  # openai-whisper's argsort of beams that never ended
    "ignore:__array_wrap__ must accept context:DeprecationWarning"
)

CLOSE = 0.02
CAPACITY = 16
EN = WindowOptions(language="en")

LONG_PROMPTS = {
    f"a prompt of {length}": Case("one sentence", replace(EN, prompt=PROMPT[: length - 4]))
    for length in (61, 125, 220)
}
"""The text grows from one size of the graphs into the next."""

HALF_CASES = {**CASES, **LONG_PROMPTS}
MORE = pytest.mark.slow
NARROW = "narrow turbo"
SIZES = [
    *(pytest.param("demo", name, marks=() if name in CASES else MORE) for name in HALF_CASES),
    *(pytest.param(NARROW, name, marks=MORE) for name in CASES),
]


class HalfReference(ReferenceEngine):
    """openai-whisper in float16, on a CPU too."""

    _half = True


def half_engine(checkpoint: Checkpoint, capacity: int = CAPACITY, on_step: Any = None) -> BatchedEngine:
    backend = Backend(torch.device("cpu"), torch.float16, record)

    def build(model: Model, thread: EngineThread) -> BatchedEngine:
        return BatchedEngine(model, thread, capacity, on_step or (lambda rows, capacity: None))

    return start_engine(partial(load_for, checkpoint, backend, "exact"), build, threads=1)


def start(size: str, folder: Path) -> Pair:
    checkpoint = resolve(Settings(model="demo"))
    if size != "demo":
        path = folder / "random.pt"
        write(path, size, tokens=24)
        checkpoint = Checkpoint(path.stem, path, "0" * 64)
    reference = start_engine(
        partial(load_whisper, checkpoint, "cpu"),
        lambda model, thread: HalfReference(model, checkpoint.name, thread),
        threads=1,
    )
    return Pair(reference, half_engine(checkpoint), HALF_CASES)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pair]]:
    started = StartedPairs(partial(start, folder=tmp_path_factory.mktemp("checkpoints")))
    yield started
    started.close()


@pytest.fixture
def demo(pairs: dict[str, Pair]) -> Pair:
    return pairs["demo"]


@pytest.fixture(scope="module", autouse=True)
def few_part() -> Iterator[None]:
    """Few answers may part from openai-whisper's, or there is little left that was compared."""
    PARTED.clear()
    yield
    assert len(PARTED) <= 6, PARTED


PARTED: list[str] = []


def check(pair: Pair, name: str, found: WindowResult) -> None:
    """A case's answer is openai-whisper's, to float16."""
    expected = pair.expected(name)
    assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=CLOSE)
    if found.tokens != expected.tokens:
        assert near_tie(pair, name, found, CLOSE), (name, found.tokens, expected.tokens)
        PARTED.append(name)
        return
    assert found.avg_logprob == pytest.approx(expected.avg_logprob, abs=CLOSE)
    assert found.compression_ratio == expected.compression_ratio


def submit(pair: Pair, name: str) -> Any:
    return pair.batched.submit(pair.window(name), pair.cases[name].options)


def test_it_is_the_gpus_way(demo: Pair) -> None:
    """Else the tests below would show nothing."""
    model, decoder = demo.batched._model, demo.batched._runner.decoder
    assert isinstance(decoder, GraphedDecoder)
    assert {model.decoder.embedding.dtype, decoder.cache.keys.dtype} == {torch.float16}
    demo.batched.submit(demo.window("plain"), EN).result()
    assert {decoder._cross._keys.dtype, demo.window("plain").recording.window(0, 100).dtype} == {
        torch.float16,
        torch.float32,
    }
    assert decoder._steps.keys


@pytest.mark.parametrize(("size", "name"), SIZES)
def test_alone(pairs: dict[str, Pair], size: str, name: str) -> None:
    check(pairs[size], name, submit(pairs[size], name).result())


@pytest.mark.parametrize("size", ["demo", pytest.param(NARROW, marks=MORE)])
def test_side_by_side(pairs: dict[str, Pair], size: str) -> None:
    """All at once: prompts, lengths and searches of every kind in one batch."""
    futures = {name: submit(pairs[size], name) for name in CASES}
    for name, future in futures.items():
        check(pairs[size], name, future.result())


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 8, 9, 16])
def test_as_many_rows_as_a_graph_has_or_one_more(demo: Pair, rows: int) -> None:
    names = ["plain", "translated", "a short window"]
    futures = [(name, submit(demo, name)) for name in (names * rows)[:rows]]
    for name, future in futures:
        check(demo, name, future.result())


def test_windows_come_and_go_at_different_steps(demo: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows move to where others have left, and graphs of other sizes take over."""
    waiting = ["translated", "a short window", "five beams", "plain", "patient beams", "plain"]
    futures, steps = [("plain", submit(demo, "plain"))], []

    def arrive(rows: int, capacity: int) -> None:
        steps.append(rows)
        if waiting and len(steps) % 4 == 0:
            name = waiting.pop(0)
            futures.append((name, submit(demo, name)))

    for name in set(waiting):
        demo.window(name)  # before: it waits for the engine's thread, where `arrive` runs
    monkeypatch.setattr(demo.batched, "_on_step", arrive)
    done = 0
    while done < len(futures):
        name, future = futures[done]
        check(demo, name, future.result())
        done += 1
    assert not waiting
    assert len(set(steps)) > 4
    assert any(later < earlier for earlier, later in pairwise(steps))


@pytest.mark.parametrize("name", ["plain", "another language after text", "a short window"])
@pytest.mark.parametrize("size", ["demo", pytest.param(NARROW, marks=MORE)])
def test_languages(pairs: dict[str, Pair], size: str, name: str) -> None:
    pair = pairs[size]
    pair.expected(name)
    expected = pair.reference.detect_language(pair.theirs[name].window).result()
    found = pair.batched.detect_language(pair.window(name)).result()
    assert found == pytest.approx(expected, abs=5e-3)
    assert list(found) == list(expected)


@pytest.mark.parametrize("name", ["plain", "a short window"])
@pytest.mark.parametrize("size", ["demo", pytest.param(NARROW, marks=MORE)])
def test_scores_and_alignment(pairs: dict[str, Pair], size: str, name: str) -> None:
    pair, options = pairs[size], CASES[name].options
    tokens = pair.expected(name).tokens
    theirs, ours = pair.theirs[name].window, pair.window(name)
    expected_scores = pair.reference.score(theirs, options, tokens).result()
    assert pair.batched.score(ours, options, tokens).result() == pytest.approx(expected_scores, abs=0.05)
    text = [token for token in tokens if token < pair.batched._model.vocabulary.eot]
    asked = (text, options.language, options.task)
    expected = pair.reference.align(theirs, *asked).result()
    found = pair.batched.align(ours, *asked).result()
    assert [(word.text, word.tokens) for word in found] == [(word.text, word.tokens) for word in expected]
    for our_word, their_word in zip(found, expected, strict=True):
        assert our_word.start_seconds == pytest.approx(their_word.start_seconds, abs=0.0201)
        assert our_word.end_seconds == pytest.approx(their_word.end_seconds, abs=0.0201)
        assert our_word.probability == pytest.approx(their_word.probability, abs=CLOSE)


class Draws:
    """torch's Categorical, but drawn with the numbers that the batched engine draws with."""

    noise = torch.empty(0)
    drawn = 0

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def sample(self) -> Tensor:
        cumulated = self._logits.softmax(-1, dtype=torch.float64).cumsum(-1)
        threshold = Draws.noise[:, Draws.drawn, None] * cumulated[:, -1:]
        Draws.drawn += 1
        return torch.searchsorted(cumulated, threshold, right=True)[:, 0]


@pytest.mark.parametrize("best_of", [None, 5])
@pytest.mark.parametrize("temperature", [0.2, 0.6])
def test_samples(
    demo: Pair, best_of: int | None, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = WindowOptions(language="en", temperature=temperature, best_of=best_of, seed=3)
    demo.expected("plain")
    window = demo.window("plain")
    monkeypatch.setattr(whisper.decoding, "Categorical", Draws)
    monkeypatch.setattr(Draws, "noise", uniform_noise(window, options, best_of or 1, 224))
    monkeypatch.setattr(Draws, "drawn", 0)
    expected = demo.reference.submit(demo.theirs["plain"].window, options).result()
    company = submit(demo, "five beams")
    found = demo.batched.submit(window, options).result()
    assert found.tokens == expected.tokens
    assert found.avg_logprob == pytest.approx(expected.avg_logprob, abs=CLOSE)
    check(demo, "five beams", company.result())


def test_out_of_memory_halves_rows_and_copies_until_they_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The copies of the windows are what needs most: with fewer rows, fewer are held."""
    allocate: Callable[[RowCrossKV, FloatCrossKV], None] = RowCrossKV._allocate

    def limited(self: RowCrossKV, like: FloatCrossKV) -> None:
        if self._rows > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        allocate(self, like)

    monkeypatch.setattr(RowCrossKV, "_allocate", limited)
    engine = half_engine(resolve(Settings(model="demo")), capacity=64)
    try:
        assert engine._scheduler.capacity == 16  # the first window, at the start, found that out
        assert caplog.text.count("the device is out of memory") == 2
        noise = np.random.default_rng(3).normal(0, 0.05, 48_000).astype(np.float32)
        window = Window(engine.open(noise), 0, 300)
        alone = engine.submit(window, EN).result().tokens
        together = [engine.submit(window, EN) for _ in range(20)]
        assert {future.result().tokens for future in together} == {alone}
        assert alone
    finally:
        engine.close()


@pytest.mark.slow
def test_a_text_of_every_length(demo: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """As many tokens as fit, after a prompt and without one: graphs of all lengths, side by side."""
    caplog.set_level(logging.WARNING)
    never_ending = replace(EN, suppress_tokens=(50257,), temperature=1.0, seed=2)
    window = demo.window("plain")
    options = [never_ending, replace(never_ending, prompt=PROMPT[:100]), replace(never_ending, prompt=PROMPT)]
    alone = [demo.batched.submit(window, each).result().tokens for each in options]
    together = [demo.batched.submit(window, each) for each in options]
    assert [future.result().tokens for future in together] == alone
    assert {len(tokens) for tokens in alone} == {224, 448 + 1 - 227}
    assert {size[1] for size in demo.batched._runner.decoder._steps.keys} == {64, 128, 256, 448}
    assert "without a CUDA graph" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("name", SPOKEN)
def test_the_text_of_every_recording_is_the_same(demo: Pair, name: str) -> None:
    """Through the transcription loop; what it decides by log-probabilities and times is the same too."""
    request, policy = TranscriptionRequest(temperatures=(0.0,)), Policy(strict=True)
    found, expected = (
        transcribe(engine, RECORDINGS[name](), request, policy, RequestContext.of(600))
        for engine in (demo.batched, demo.reference)
    )
    assert found.text == expected.text
    assert [segment.start_seconds for segment in found.segments] == [
        segment.start_seconds for segment in expected.segments
    ]
