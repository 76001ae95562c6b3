"""What is known of a loaded checkpoint, and whose work is counted where."""

import re
from concurrent.futures import Future
from itertools import product
from threading import Event

import pytest

from app.checkpoints import DEMO_NOTICE, DEMO_PATH, DEMO_SHA256, Checkpoint
from app.checkpoints.verified import Verified, stamp_of
from app.engines.busy_time import BusyTime
from app.engines.engine_thread import EngineLane, EngineThread
from app.engines.interface import Window, WindowOptions, WindowResult
from app.loaded_model import LoadedModel, ModelFacts
from app.request_context import RequestContext
from tests.scripted_engine import ScriptedEngine, result, silence, spell


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda window, options: result(*spell(" Hello.")), warm_up_seconds=2.5)


def verified(checkpoint: Checkpoint) -> Verified:
    return Verified(checkpoint, stamp_of(checkpoint.path))


def test_what_a_checkpoint_tells() -> None:
    model = ModelFacts.of(verified(Checkpoint("demo", DEMO_PATH, DEMO_SHA256)), "exact", "full")
    assert model.names == Checkpoint("demo", DEMO_PATH, DEMO_SHA256).names
    assert model.owner == "tiny-openai-whisper-api"
    assert model.created == int(DEMO_PATH.stat().st_mtime)
    assert model.notice == DEMO_NOTICE
    assert not model.quantized
    assert model.file_bytes == DEMO_PATH.stat().st_size


def test_the_fingerprint_changes_with_weights_precision_and_context() -> None:
    def fingerprint(sha256: str, precision: str, context: str) -> str:
        return ModelFacts.of(verified(Checkpoint("any", DEMO_PATH, sha256)), precision, context).fingerprint

    fingerprints = {fingerprint(*kind) for kind in product("ab", ("exact", "int8"), ("full", "short"))}
    assert len(fingerprints) == 8
    assert fingerprint("a", "exact", "full") in fingerprints
    assert all(re.fullmatch(r"fp_[0-9a-f]{10}", each) for each in fingerprints)


def test_quantized_weights_are_known_as_such() -> None:
    model = ModelFacts.of(
        verified(Checkpoint("mine", DEMO_PATH, "ab", "ctranslate2", "int8")), "exact", "full"
    )
    assert model.quantized
    assert model.notice == "int8 weights, no longer exact"


def test_the_first_pace_is_that_of_the_warm_up() -> None:
    model = LoadedModel.of(engine())
    assert (model.meter.seconds_per_window, model.card.name) == (2.5, "scripted")


def test_work_is_counted_for_the_request_and_for_all() -> None:
    model = LoadedModel.of(engine())
    contexts = [RequestContext.of(60) for _ in range(2)]
    for context in contexts:
        counted = model.engine_for(context)
        counted.submit(Window(counted.open(silence(1)), 0, 100), WindowOptions()).result(0)
    assert [context.cost.totals().windows for context in contexts] == [1, 1]
    assert model.meter.windows_finished == 2


class Paced(ScriptedEngine):
    """Its windows take `seconds` of a clock, in a lane of a thread; `others_seconds` are the lane's."""

    def __init__(self, thread: EngineThread, clock: Clock, seconds: float) -> None:
        super().__init__(lambda window, options: result())
        self._lane, self._clock, self._seconds = EngineLane(thread), clock, seconds

    @property
    def others_seconds(self) -> float:
        return self._lane.others_seconds

    @others_seconds.setter
    def others_seconds(self, _seconds: float) -> None:
        pass

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        return self._lane.submit(self._decode)

    def _decode(self) -> WindowResult:
        self._clock.now += self._seconds
        return result()


def test_models_that_share_a_thread_have_each_its_own_pace() -> None:
    clock, thread, release = Clock(), EngineThread(), Event()
    thread.busy_time = BusyTime(clock)
    fast, slow = (LoadedModel.of(Paced(thread, clock, seconds), clock) for seconds in (1.0, 5.0))
    try:
        thread.submit(release.wait)
        futures = []
        for model in (fast, slow) * 3:
            engine = model.engine_for(RequestContext.of(60))
            futures.append(engine.submit(Window(engine.open(silence(30)), 0, 3000), WindowOptions()))
        release.set()
        for future in futures:
            future.result(60)
    finally:
        thread.close()
    assert fast.meter.seconds_per_full_window == pytest.approx(1.0)
    assert slow.meter.seconds_per_full_window == pytest.approx(5.0)


def test_tokens_are_whispers() -> None:
    assert LoadedModel.of(engine()).count_tokens("four") == 4
