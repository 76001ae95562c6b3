"""Weights in the formats of others: both engines say the same, and the demo model what it says as a .pt."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app import engines
from app.checkpoints import Checkpoint, found_at
from app.engines.batched.engine import BatchedEngine
from app.engines.interface import Engine, EngineOptions, LiveEngine, Window, WindowOptions
from app.engines.reference import ReferenceEngine
from app.engines.weights_files import open_weights
from app.request_context import RequestContext
from app.transcription.request import Policy, TranscriptionRequest
from tests.foreign_weights import (
    DEMO,
    DISTILLED,
    LARGE_V3_HEADS,
    demo_model,
    random_model,
    write_ctranslate2,
    write_hugging_face,
)
from tests.oracle.recordings import RECORDINGS
from tests.transcripts import transcribe

CLOSE = 1e-4
REQUEST = TranscriptionRequest(temperatures=(0.0,), word_timestamps=True)


def started(checkpoint: Checkpoint) -> dict[str, LiveEngine]:
    return {
        name: engines.start(name, checkpoint, "cpu", EngineOptions(threads=1)) for name in engines.ENGINES
    }


def said(engine: Engine, recording: str) -> Any:
    """Texts, tokens and words of a recording."""
    policy, context = Policy(strict=True), RequestContext.of(600)
    return transcribe(engine, RECORDINGS[recording](), REQUEST, policy, context).segments


def ctranslate2(folder: Path, type: str) -> Path:
    weights = open_weights(found_at(DEMO))
    tensors = {name: weights.tensor(name) for name in weights.dims.shapes()}
    return write_ctranslate2(folder, tensors, weights.dims, type)


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What the demo model says, which both engines are held to elsewhere."""
    engine = started(found_at(DEMO))["batched"]
    texts = {name: said(engine, name) for name in ("three utterances", "german")}
    engine.close()
    return texts


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_hugging_face(folder, demo_model(), torch.float16),
        lambda folder: write_hugging_face(folder, demo_model(), torch.float32, shard_size="2MB"),
        lambda folder: ctranslate2(folder, "float16"),
        lambda folder: ctranslate2(folder, "float32"),
    ],
    ids=[
        "Hugging Face float16",
        "Hugging Face float32, sharded",
        "CTranslate2 float16",
        "CTranslate2 float32",
    ],
)
def test_the_same_weights_say_the_same(
    tmp_path: Path, expected: dict[str, Any], write: Callable[[Path], Path]
) -> None:
    engine = engines.start("batched", found_at(write(tmp_path / "demo")), "cpu", EngineOptions(threads=1))
    for name, segments in expected.items():
        assert said(engine, name) == segments
    engine.close()


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_hugging_face(folder, demo_model(), torch.bfloat16),
        pytest.param(lambda folder: ctranslate2(folder, "bfloat16"), marks=pytest.mark.slow),
        lambda folder: ctranslate2(folder, "int8"),
    ],
    ids=["Hugging Face bfloat16", "CTranslate2 bfloat16", "CTranslate2 int8"],
)
def test_rounded_weights_say_the_same_on_both_engines(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    both = started(found_at(write(tmp_path / "demo")))
    for name in ("three utterances", "german"):
        ours, theirs = said(both["batched"], name), said(both["reference"], name)
        assert [(segment.text, segment.tokens) for segment in ours] == [
            (segment.text, segment.tokens) for segment in theirs
        ]
        assert any(segment.text for segment in ours)
    for engine in both.values():
        engine.close()


DTYPES = [
    torch.float32,
    *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in (torch.float16, torch.bfloat16)),
]


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def distilled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Both engines on random weights, few layers in the decoder and the heads of a larger model."""
    folder = tmp_path_factory.mktemp("weights") / "distilled"
    write_hugging_face(folder, random_model(), request.param, LARGE_V3_HEADS, "200KB")
    both = started(found_at(folder))
    yield both["batched"], both["reference"]
    for engine in both.values():
        engine.close()


def test_a_distilled_model(distilled: tuple[BatchedEngine, ReferenceEngine]) -> None:
    ours, theirs = distilled
    assert replace(ours.card, weight_bytes=theirs.card.weight_bytes) == theirs.card  # each holds them its way
    assert (ours.card.multilingual, len(ours.card.languages)) == (True, 100)
    samples = RECORDINGS["one sentence"]()
    options = WindowOptions(language="en")
    windows = [
        Window(recording, 0, recording.frames) for recording in (ours.open(samples), theirs.open(samples))
    ]
    results = [
        engine.submit(window, options).result() for engine, window in zip(distilled, windows, strict=True)
    ]
    assert results[0].tokens == results[1].tokens
    assert len(set(results[0].tokens)) > 10
    assert results[0].avg_logprob == pytest.approx(results[1].avg_logprob, abs=CLOSE)
    tokens = ours.tokenizer("en", "transcribe").encode(" The sun rises in the east.")
    scores = [
        engine.score(window, options, tokens).result()
        for engine, window in zip(distilled, windows, strict=True)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=CLOSE)
    words = [
        engine.align(window, tokens, "en", "transcribe").result()
        for engine, window in zip(distilled, windows, strict=True)
    ]
    assert [word.text for word in words[0]] == [word.text for word in words[1]]
    for mine, other in zip(*words, strict=True):
        assert mine.start_seconds == pytest.approx(other.start_seconds, abs=0.021)
        assert mine.end_seconds == pytest.approx(other.end_seconds, abs=0.021)


def test_it_has_the_sizes_of_one() -> None:
    assert (DISTILLED.n_text_layer, DISTILLED.n_mels, DISTILLED.n_vocab) == (2, 128, 51866)
