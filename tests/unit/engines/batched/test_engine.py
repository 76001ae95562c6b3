"""The batched engine on the demo weights: who is cancelled, what fails with whom, what is kept."""

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch

from app import engines
from app.checkpoints import Checkpoint, resolve
from app.engines.batched import model_runner
from app.engines.batched.batch import Batch
from app.engines.batched.beam import Search, new_search
from app.engines.batched.engine import BatchedEngine
from app.engines.features import LogMel
from app.engines.interface import EngineOptions, Window, WindowOptions
from app.errors import CheckpointError, EngineFailure, ServerBusy
from app.request_context import RequestContext
from app.scheduling import SchedulingClass
from app.settings import Settings

EN = WindowOptions(language="en")
LONG = replace(EN, temperature=1.0, suppress_tokens=(50257,))
"""Never ends by itself: as many tokens as fit, which are 224."""
SHORT = 64
"""Tokens of a text that would never end, where a test has no need for more."""


def started() -> BatchedEngine:
    found = engines.start("batched", resolve(Settings(model="demo")), "cpu", EngineOptions(threads=1))
    assert isinstance(found, BatchedEngine)
    return found


@pytest.fixture(scope="module")
def engine() -> Iterator[BatchedEngine]:
    running = started()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def nothing_stays_behind(engine: BatchedEngine) -> Iterator[None]:
    """Whatever happened, the engine is idle and empty afterwards, and answers."""
    yield
    wait_until(lambda: is_empty(engine))
    assert engine.submit(window(engine), EN).result(60).tokens


def is_empty(engine: BatchedEngine) -> bool:
    return not (
        engine._runner.batch.size or engine._running or engine._scheduler.waiting or engine._scheduled
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def window(engine: BatchedEngine, seed: int = 3) -> Window:
    noise = np.random.default_rng(seed).normal(0, 0.05, 48_000).astype(np.float32)
    return Window(engine.open(noise), 0, 300)


def limit_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no text gets longer than SHORT."""

    def short_search(options: WindowOptions, eot: int, max_tokens: int) -> Search:
        return new_search(options, eot, min(SHORT, max_tokens))

    monkeypatch.setattr(model_runner, "new_search", short_search)


@pytest.fixture
def short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_texts(monkeypatch)


@pytest.fixture
def encodes(engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """One entry for each run of the encoder."""
    runs: list[Window] = []
    encode = engine._runner.windows._encode
    monkeypatch.setattr(engine._runner.windows, "_encode", lambda of: (runs.append(of), encode(of))[1])
    return runs


def test_a_window_is_encoded_once_for_all_that_is_asked_of_it(
    engine: BatchedEngine, encodes: list[Window]
) -> None:
    asked = window(engine)
    engine.detect_language(asked).result()
    found = [engine.submit(asked, replace(EN, temperature=t)).result() for t in (0.0, 0.4, 1.0)]
    engine.submit(asked, replace(EN, beam_size=5)).result()
    engine.score(asked, EN, found[0].tokens).result()
    engine.align(asked, [318, 1109], "en", "transcribe").result()
    assert encodes == [asked]


@pytest.mark.usefixtures("short_texts")
def test_each_step_tells_how_full_the_batch_is(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(engine, "_on_step", lambda *step: steps.append(step))
    engine.submit(window(engine), replace(LONG, best_of=3)).result()
    assert steps
    assert set(steps) == {(3, 8)}


def test_features_go_with_their_window(engine: BatchedEngine, encodes: list[Window]) -> None:
    recording = window(engine).recording
    for _ in range(3):
        engine.submit(Window(recording, 0, 300), EN).result()
    assert len(encodes) == 3
    encodes.clear()
    wait_until(lambda: is_empty(engine))
    gc.collect()
    assert len(engine._runner.windows._features) == len(engine._runner.windows._cross_kv) == 0


def test_the_thread_count_is_what_was_asked_for(engine: BatchedEngine) -> None:
    engine.align(window(engine), [318, 1109], "en", "transcribe").result()
    assert engine._thread.submit(torch.get_num_threads).result() == 1


def test_what_others_left_in_the_cache_is_not_seen(engine: BatchedEngine) -> None:
    """A window that overflows leaves NaN behind, and no mask takes that away: NaN - inf is NaN."""
    asked = window(engine)
    each = (replace(EN, prompt=(440,) * 100), EN, replace(EN, beam_size=3))
    alone = [engine.submit(asked, options).result().tokens for options in each]
    engine._runner.decoder.cache.keys.fill_(torch.nan)
    engine._runner.decoder.cache.values.fill_(torch.nan)
    assert [found.result().tokens for found in [engine.submit(asked, options) for options in each]] == alone


def test_languages_and_their_probabilities(engine: BatchedEngine) -> None:
    probabilities = engine.detect_language(window(engine)).result()
    assert set(probabilities) == set(engine.card.languages)
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-4)


def test_no_tokens_align_to_no_words(engine: BatchedEngine) -> None:
    assert engine.align(window(engine), [], "en", "transcribe").result() == []


def test_no_tokens_have_no_scores(engine: BatchedEngine) -> None:
    assert engine.score(window(engine), EN, []).result() == []


def test_as_many_tokens_as_fit_can_be_scored(engine: BatchedEngine) -> None:
    """After a long prompt a text may fill the context: its last token is said, but never read."""
    asked, options = window(engine), replace(LONG, prompt=(440,) * 300)
    tokens = engine.submit(asked, options).result().tokens
    assert len(tokens) == engine.card.text_context + 1 - len(engine._runner._prompt(options))
    assert len(engine.score(asked, options, tokens).result()) == len(tokens)


@pytest.mark.parametrize("rows", [12, 16])
def test_more_rows_than_the_batch_holds_run_alone(engine: BatchedEngine, rows: int) -> None:
    asked = window(engine)
    expected = engine.submit(asked, EN).result()
    options = [replace(EN, beam_size=rows), EN, replace(EN, temperature=0.7, best_of=rows)]
    found = [engine.submit(asked, option) for option in options]
    assert all(future.result(60).tokens for future in found)
    assert found[1].result() == expected


@pytest.mark.usefixtures("short_texts")
def test_an_answer_is_the_same_whatever_runs_beside_it(engine: BatchedEngine) -> None:
    asked = window(engine)
    expected = engine.submit(asked, EN).result()
    company = [engine.submit(window(engine, seed), LONG) for seed in range(3)]
    assert engine.submit(asked, EN).result(60).tokens == expected.tokens
    assert all(len(future.result(60).tokens) == SHORT for future in company)


def test_a_note_overtakes_what_runs_long(engine: BatchedEngine) -> None:
    long = [engine.submit(window(engine, seed), LONG) for seed in range(3)]
    wait_until(lambda: engine._runner.batch.size == 3)
    engine.submit(window(engine), EN).result(60)
    assert not any(future.done() for future in long)
    assert all(future.result(60).tokens for future in long)


def test_a_client_that_leaves_is_dropped_while_its_window_runs(engine: BatchedEngine) -> None:
    leaving, staying = window(engine, 1), window(engine, 2)
    alone = engine.submit(staying, LONG).result()
    futures = [engine.submit(asked, LONG) for asked in (leaving, staying, leaving)]
    wait_until(lambda: engine._runner.batch.size == 3)
    leaving.recording.close()
    for future in (futures[0], futures[2]):
        with pytest.raises(CancelledError):
            future.result(60)
    assert futures[1].result(60).tokens == alone.tokens


def test_what_waits_for_a_client_that_left_never_runs(engine: BatchedEngine, encodes: list[Window]) -> None:
    asked = window(engine)
    asked.recording.close()
    futures = [engine.submit(asked, EN), engine.detect_language(asked), engine.score(asked, EN, [1])]
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(60)
    assert encodes == []


@pytest.mark.usefixtures("short_texts")
def test_a_future_that_its_caller_cancels(engine: BatchedEngine) -> None:
    busy = engine.submit(window(engine, 1), LONG)
    futures = [engine.submit(window(engine, 2), EN) for _ in range(8)]
    cancelled = [future for future in futures if future.cancel()]
    assert cancelled
    assert all(future.result(60).tokens for future in futures if future not in cancelled)
    assert busy.result(60).tokens


@pytest.mark.usefixtures("short_texts")
def test_cancelled_by_its_caller_whose_client_leaves_too(engine: BatchedEngine) -> None:
    busy = engine.submit(window(engine, 1), LONG)
    asked = window(engine, 2)
    futures = [engine.submit(asked, EN) for _ in range(8)]
    assert futures[-1].cancel()
    asked.recording.close()
    assert busy.result(60).tokens


@pytest.mark.usefixtures("short_texts")
def test_a_window_that_cant_be_decoded_fails_alone(engine: BatchedEngine, caplog) -> None:
    expected = engine.submit(window(engine, 1), LONG).result()
    running = engine.submit(window(engine, 1), LONG)
    of_another_model = LogMel(np.zeros(16_000, np.float32), 40, torch.device("cpu"))
    broken = engine.submit(Window(of_another_model, 0, 100), EN)
    with pytest.raises(EngineFailure) as caught:
        broken.result(60)
    assert "Error" not in caught.value.message
    assert "the engine failed" in caplog.text
    assert running.result(60).tokens == expected.tokens


def test_the_error_of_a_window_holds_no_recording(engine: BatchedEngine, caplog) -> None:
    caplog.set_level(logging.CRITICAL + 1)  # pytest keeps what is logged, with its traceback
    recording = LogMel(np.zeros(16_000, np.float32), 40, torch.device("cpu"))
    broken, held = engine.submit(Window(recording, 0, 100), EN), weakref.ref(recording)
    del recording
    with pytest.raises(EngineFailure):
        broken.result(60)
    gc.disable()
    try:
        del broken
        engine.submit(window(engine, 1), EN).result(60)  # by then the engine has let go of the failed one
        assert held() is None
    finally:
        gc.enable()


class Once:
    """Fails the first time, in place of a method."""

    def __init__(self, method: Callable) -> None:
        self._method = method
        self.failed = 0

    def __call__(self, *args: object, **kwargs: object) -> object:
        if not self.failed:
            self.failed += 1
            raise RuntimeError("out of memory")
        return self._method(*args, **kwargs)


@pytest.mark.parametrize("method", ["add", "_advance"])
def test_what_fails_in_joining_fails_alone(
    engine: BatchedEngine, method: str, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    wait_until(lambda: is_empty(engine))
    failing = Once(getattr(Batch, method).__get__(engine._runner.batch))
    monkeypatch.setattr(engine._runner.batch, method, failing)
    with pytest.raises(EngineFailure):
        engine.submit(window(engine), replace(EN, beam_size=3)).result(60)
    assert failing.failed
    assert engine.submit(window(engine), EN).result(60).tokens


def test_a_prompts_states_that_cant_be_read_fail_their_own_window(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    running = engine.submit(window(engine, 1), LONG)
    asked = window(engine, 2)  # by now the other has joined
    monkeypatch.setattr(engine._runner, "_no_speech_prob", Once(engine._runner._no_speech_prob))
    with pytest.raises(EngineFailure):
        engine.submit(asked, LONG).result(60)
    assert len(running.result(60).tokens) == 224


def test_a_result_that_cant_be_made_fails_its_own_window(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    running = engine.submit(window(engine, 1), LONG)
    asked = window(engine, 2)
    monkeypatch.setattr(engine._runner, "result", Once(engine._runner.result))
    with pytest.raises(EngineFailure):
        engine.submit(asked, EN).result(60)
    assert len(running.result(60).tokens) == 224


def test_a_step_that_fails_fails_nobody_if_it_was_a_moments_weakness(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    windows = [window(engine) for _ in range(3)]
    running = [engine.submit(each, LONG) for each in windows]
    wait_until(lambda: engine._runner.batch.size == 3)
    limit_texts(monkeypatch)  # they are decoded again, each alone
    failing = Once(engine._runner.decoder.step)
    monkeypatch.setattr(engine._runner.decoder, "step", failing)
    texts = {future.result(60).tokens for future in running}
    assert texts == {engine.submit(windows[0], LONG).result(60).tokens}
    assert failing.failed == 1
    assert "a step of 3 windows failed" in caplog.text


@pytest.mark.slow
def test_a_window_that_breaks_every_step_fails_alone(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    windows = [window(engine) for _ in range(3)]
    expected = engine.submit(windows[0], LONG).result(60).tokens
    step = Batch.step

    def broken(batch: Batch) -> object:
        if any(engine._running[decoding].window is windows[1] for decoding in batch.running):
            raise RuntimeError("index out of range")
        return step(batch)

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "step", broken)
        first, failing, last = [engine.submit(each, LONG) for each in windows]
        with pytest.raises(EngineFailure):
            failing.result(60)
        assert first.result(60).tokens == last.result(60).tokens == expected


def test_closing_tells_everybody_who_waits() -> None:
    engine = started()
    held = [window(engine, seed) for seed in range(4)]
    running = [engine.submit(asked, LONG) for asked in held[:3]]
    wait_until(lambda: engine._runner.batch.size == 3)
    queued = [engine.submit(held[3], EN), engine.detect_language(held[3])]
    waiting = threading.Thread(target=engine.close)
    waiting.start()
    for future in [*running, *queued]:
        with pytest.raises(ServerBusy):
            RequestContext.of(60).wait(future)
    waiting.join(60)
    assert not engine.alive
    with pytest.raises(ServerBusy):
        RequestContext.of(60).wait(engine.submit(held[0], EN))
    engine.close()  # twice does no harm


def test_a_file_that_is_no_checkpoint_stops_the_start(tmp_path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"model\.pt is no Whisper checkpoint"):
        engines.start("batched", Checkpoint("model", path, "0" * 64), "cpu", EngineOptions(threads=1))


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_and_goes_on(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    capacity, alone = engine._scheduler.capacity, engine.submit(window(engine), LONG).result(60).tokens
    step = Batch.step

    def full(batch: Batch) -> object:
        if batch.size > capacity // 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(batch)

    monkeypatch.setattr(Batch, "step", full)
    windows = [window(engine) for _ in range(capacity)]
    futures = [engine.submit(each, LONG) for each in windows]
    assert {future.result(60).tokens for future in futures} == {alone}
    assert engine._scheduler.capacity == capacity // 4
    assert "the device is out of memory" in caplog.text
    engine._scheduler.capacity = capacity


def test_a_window_too_large_for_the_device_fails_alone(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    capacity = engine._scheduler.capacity

    def full(batch: Batch) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "step", full)
        with pytest.raises(EngineFailure):
            engine.submit(window(engine), LONG).result(60)
    engine._scheduler.capacity = capacity


def test_an_engine_that_stumbles_between_tasks_goes_on(
    engine: BatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stumbled = threading.Event()

    def stumble() -> None:
        monkeypatch.undo()
        stumbled.set()
        raise RuntimeError("lost the thread")

    running = engine.submit(window(engine), LONG)
    wait_until(lambda: bool(engine._running))
    monkeypatch.setattr(engine, "_drop_abandoned", stumble)
    with pytest.raises(EngineFailure):
        running.result(60)
    assert stumbled.is_set()


def test_sessions_leave_every_fourth_task_to_an_upload(engine: BatchedEngine) -> None:
    """The first task is done before the upload's is queued."""
    second = np.zeros(16_000, np.float32)
    sessions = [engine.open(second, SchedulingClass.LIVE_TEXT) for _ in range(6)]
    upload = engine.open(second)
    go_on = threading.Event()
    engine._thread.submit(lambda: go_on.wait(60))
    order: list[int] = []
    futures = []
    for number, recording in enumerate([*sessions, upload]):
        futures.append(engine.detect_language(Window(recording, 0, 100)))
        futures[-1].add_done_callback(lambda _, number=number: order.append(number))
    go_on.set()
    for future in futures:
        future.result(60)
    assert order == [0, 1, 2, 3, 6, 4, 5]
