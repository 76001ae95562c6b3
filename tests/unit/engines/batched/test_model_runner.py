"""The model runner on the demo weights, without a thread and without a queue."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from app.checkpoints import resolve
from app.engines.batched.model import Model, load
from app.engines.batched.model_runner import ModelRunner
from app.engines.features import LogMel
from app.engines.interface import Window, WindowOptions
from app.settings import Settings

EN = WindowOptions(language="en")
MAX_ROWS = 4


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model() -> Model:
    return load(resolve(Settings(model="demo")), torch.device("cpu"), "exact")


@pytest.fixture
def runner(model: Model) -> ModelRunner:
    return ModelRunner(model, MAX_ROWS, max_cached_windows=2)


def window(model: Model, seed: int = 3) -> Window:
    noise = np.random.default_rng(seed).normal(0, 0.05, 48_000).astype(np.float32)
    recording = LogMel(noise, model.dims.n_mels, model.device)
    for first, end in recording.blocks():
        recording.compute(first, end)
    recording.clip()
    return Window(recording, 0, 300)


def test_a_window_is_decoded_step_by_step(model: Model, runner: ModelRunner) -> None:
    decoding = runner.prefill(window(model), EN)
    assert decoding.rows == [0]
    while decoding.rows:
        finished = runner.batch.step()
    assert finished == [decoding]
    found = runner.result(decoding, EN)
    assert found.tokens
    assert found.tokens[0] >= model.vocabulary.timestamp_begin
    assert 0 <= found.no_speech_prob <= 1


@pytest.mark.parametrize("step", ["_no_speech_prob", "_prompt"])
def test_a_prefill_that_fails_leaves_the_batch_as_it_was(
    model: Model, runner: ModelRunner, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = runner.prefill(window(model), EN)

    def fail(*args: object) -> None:
        raise RuntimeError("out of range")

    with monkeypatch.context() as patch:
        patch.setattr(runner, step, fail)
        with pytest.raises(RuntimeError, match="out of range"):
            runner.prefill(window(model, 4), EN)
    assert runner.batch.running == [running]
    assert runner.batch.size == 1


def test_the_latest_windows_alone_are_cached_and_freed_on_demand(model: Model, runner: ModelRunner) -> None:
    held = [window(model, seed) for seed in range(3)]
    for each in held:
        runner.detect_language(each)
    assert set(runner.windows._cross_kv) == set(held[1:])
    runner.shrink(MAX_ROWS, max_cached_windows=1)
    assert not runner.windows._cross_kv
    assert not runner.windows._features
    for each in held:
        runner.detect_language(each)
    assert set(runner.windows._cross_kv) == set(held[2:])


def test_rows_that_run_keep_their_memory_and_an_empty_batch_gives_it_back(
    model: Model, runner: ModelRunner
) -> None:
    decoding = runner.prefill(window(model), EN)
    runner.release()
    assert runner.decoder.cache.keys[:, decoding.rows[0], :, : len(decoding.prompt)].all()
    runner.batch.remove([decoding])
    runner.release()
    assert not runner.decoder.cache.keys.any()
