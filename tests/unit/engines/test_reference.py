"""The reference engine on the demo weights."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from app import engines
from app.checkpoints import Checkpoint, resolve
from app.engines.interface import EngineOptions, Window, WindowOptions
from app.engines.reference import ReferenceEngine
from app.errors import CheckpointError, StartError
from app.settings import Settings


@pytest.fixture(scope="module")
def engine() -> Iterator[ReferenceEngine]:
    started = engines.start("reference", resolve(Settings(model="demo")), "cpu", EngineOptions(threads=1))
    yield started
    started.close()


@pytest.fixture
def window(engine: ReferenceEngine) -> Window:
    noise = np.random.default_rng(3).normal(0, 0.05, 48_000).astype(np.float32)
    return Window(engine.open(noise), 0, 300)


@pytest.fixture
def encodes(engine: ReferenceEngine) -> Iterator[list[int]]:
    """One entry for each run of the encoder."""
    runs: list[int] = []
    handle = engine._model.encoder.register_forward_hook(lambda *_: runs.append(1))
    yield runs
    handle.remove()


def test_a_window_is_encoded_once_for_detection_and_all_temperatures(
    engine: ReferenceEngine, window: Window, encodes: list[int]
) -> None:
    engine.detect_language(window).result()
    for temperature in (0.0, 0.4, 1.0):
        engine.submit(window, WindowOptions(language="en", temperature=temperature)).result()
    assert len(encodes) == 1


def test_features_go_with_their_window(engine: ReferenceEngine, window: Window, encodes: list[int]) -> None:
    recording = window.recording
    for _ in range(3):
        engine.detect_language(Window(recording, 0, 300)).result()
    assert len(encodes) == 3
    engine.detect_language(window).result()
    assert len(engine._features) <= 2  # the window that is held, and at most one just dropped


def test_the_encoder_is_whole_again_after_a_short_context(
    engine: ReferenceEngine, window: Window, encodes: list[int]
) -> None:
    before = engine.detect_language(window).result()
    short = replace(window, positions=256)
    options, text = WindowOptions(language="en"), engine.tokenizer("en", "transcribe").encode(" a word")
    assert engine.detect_language(short).result() != before
    engine.submit(short, options).result()
    engine.score(short, options, text).result()
    engine.align(short, text, "en", "transcribe").result()
    assert len(engine._model.encoder.positional_embedding) == 1500
    assert engine.detect_language(window.in_full()).result() == before


def test_above_zero_the_seed_decides(engine: ReferenceEngine, window: Window) -> None:
    def sample(seed: int | None) -> tuple[int, ...]:
        torch.rand(1)  # whatever else used the global generator must not matter
        options = WindowOptions(language="en", temperature=1.0, seed=seed)
        return engine.submit(window, options).result().tokens

    assert sample(None) == sample(None)
    assert sample(5) == sample(5)
    assert len({sample(seed) for seed in range(4)}) > 1


def test_a_closed_recordings_windows_are_dropped(engine: ReferenceEngine, window: Window) -> None:
    window.recording.close()
    future = engine.submit(window, WindowOptions(language="en"))
    engine.open(np.zeros(1600, np.float32))  # by now the engine has passed the window
    assert future.cancelled()


def test_languages_and_their_probabilities(engine: ReferenceEngine, window: Window) -> None:
    probabilities = engine.detect_language(window).result()
    assert set(probabilities) == set(engine.card.languages)
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-4)


def test_what_looks_like_a_special_token_is_text(engine: ReferenceEngine) -> None:
    tokenizer = engine.tokenizer("en", "transcribe")
    tokens = tokenizer.encode(" <|endoftext|>")
    assert all(token < tokenizer.eot for token in tokens)
    assert tokenizer.decode(tokens) == " <|endoftext|>"


def test_no_tokens_align_to_no_words(engine: ReferenceEngine, window: Window) -> None:
    assert engine.align(window, [], "en", "transcribe").result() == []


def test_the_thread_count_is_what_was_asked_for(engine: ReferenceEngine, window: Window) -> None:
    engine.align(window, engine.tokenizer("en", "transcribe").encode(" a word"), "en", "transcribe").result()
    assert engine._thread.submit(torch.get_num_threads).result() == 1


def test_an_unknown_engine_stops_the_start() -> None:
    with pytest.raises(StartError, match="WHISPER_ENGINE is 'fast'; it must be one of"):
        engines.start("fast", resolve(Settings(model="demo")), "cpu", EngineOptions(threads=1))


def test_a_file_that_is_no_checkpoint_stops_the_start(tmp_path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"model\.pt is no Whisper checkpoint"):
        engines.start("reference", Checkpoint("model", path, "0" * 64), "cpu", EngineOptions(threads=1))
