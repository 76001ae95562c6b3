"""What lives in one worker, from before its start to its end."""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from app.admission import ADMITTED, FAIR_SHARE
from app.checkpoints import DEMO_NOTICE, DEMO_PATH
from app.errors import AudioTooLong, ClientGone, ServerBusy
from app.loaded_model import LoadedModel, ModelFacts
from app.runtime import Runtime
from app.settings import Settings
from app.transcription.request import TranscriptionRequest
from app.worker_models import HeldModel
from tests.scripted_engine import ScriptedEngine, result, spell

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda window, options: result(*spell(" Hello.")))


@pytest.fixture
def runtime(engine: ScriptedEngine) -> Runtime:
    return Runtime(Settings(), engine)


def flagship(runtime: Runtime) -> str:
    with (DATA / "flagship.wav").open("rb") as file:
        request = TranscriptionRequest()
        return runtime.transcriber.transcribe(file, request, runtime.request_context()).text


def at_pace(runtime: Runtime, seconds_per_window: float) -> Runtime:
    """The same, with an engine that has been measured."""
    runtime.model.meter.__init__(seconds_per_window)  # type: ignore[misc]
    return runtime


def test_not_ready_before_the_start() -> None:
    runtime = Runtime(Settings())
    assert not runtime.ready
    assert runtime.notice is None
    assert runtime.catalogue.accepts("whisper-1")
    with pytest.raises(ServerBusy, match="still being loaded"):
        _ = runtime.model
    with pytest.raises(ServerBusy, match="still being loaded"):
        flagship(runtime)
    runtime.close()


def test_ready_while_the_engine_lives(runtime: Runtime, engine: ScriptedEngine) -> None:
    assert runtime.ready
    engine.alive = False
    assert not runtime.ready


def test_draining_is_not_ready_but_still_works(runtime: Runtime) -> None:
    runtime.drain()
    assert not runtime.ready
    with runtime.admission.admit():
        assert flagship(runtime) == "Hello."


def test_close_stops_the_engine(runtime: Runtime, engine: ScriptedEngine) -> None:
    runtime.close()
    assert not engine.alive
    assert not runtime.ready


def test_permits_are_limited_and_come_back(runtime: Runtime) -> None:
    with ExitStack() as admitted:
        for _ in range(ADMITTED):
            admitted.enter_context(runtime.admission.admit())
        with pytest.raises(ServerBusy) as caught, runtime.admission.admit():
            pass
        assert 1 <= caught.value.retry_after_seconds <= 120
    with runtime.admission.admit(), runtime.admission.read():
        assert runtime.admission.working.taken == 1


def test_a_caller_has_its_share(runtime: Runtime) -> None:
    with ExitStack() as admitted:
        admitted.enter_context(runtime.admission.admit("other"))
        for _ in range(FAIR_SHARE):
            admitted.enter_context(runtime.admission.admit("one"))
        with pytest.raises(ServerBusy, match="half of them for you"), runtime.admission.admit("one"):
            pass
        with runtime.admission.admit("other"):
            pass


def test_the_measured_speed_decides_how_long_a_request_may_wait(engine: ScriptedEngine) -> None:
    admission = at_pace(Runtime(Settings(max_wait_seconds=10), engine), 11.0).admission
    with admission.admit(), pytest.raises(ServerBusy, match="after about 11 seconds"), admission.admit():
        pass


def test_the_measured_speed_decides_how_long_a_recording_may_be(engine: ScriptedEngine) -> None:
    runtime = at_pace(Runtime(Settings(request_seconds=10), engine), 120.0)
    with pytest.raises(AudioTooLong, match=r"longer than 2\.5 seconds, which is all that this server can"):
        flagship(runtime)
    assert engine.recordings == []


def test_what_a_request_cost_is_counted_for_it(runtime: Runtime) -> None:
    context = runtime.request_context()
    with (DATA / "flagship.wav").open("rb") as file:
        runtime.transcriber.transcribe(file, TranscriptionRequest(), context)
    assert (context.cost.totals().windows, runtime.model.meter.windows_finished) == (1, 1)


def test_a_retry_with_another_model_decodes_all_itself(runtime: Runtime, engine: ScriptedEngine) -> None:
    other = ScriptedEngine(lambda window, options: result(*spell(" Other.")))
    first = runtime.models.first
    held = {
        "one": HeldModel(first, ModelFacts(("one",), fingerprint="fp_1"), LoadedModel.of(engine)),
        "other": HeldModel(
            replace(first, name="other"), ModelFacts(("other",), fingerprint="fp_2"), LoadedModel.of(other)
        ),
    }

    def begun(name: str) -> str:
        """The first text, for a client that leaves then."""
        context = runtime.request_context()
        with (DATA / "flagship.wav").open("rb") as file:
            deltas = runtime._transcriber_of(held[name]).stream(file, TranscriptionRequest(), context)
            text = next(delta.text for delta in deltas if delta.text)
            with pytest.raises(ClientGone):
                deltas.throw(ClientGone("gone"))
        return text

    texts = [begun(name) for name in ("one", "other", "one", "other")]
    assert texts[:2] == texts[2:]
    assert texts[0] != texts[1]
    assert (len(engine.decoded), len(other.decoded)) == (1, 1)


def test_a_request_has_the_time_that_the_settings_say(engine: ScriptedEngine) -> None:
    context = Runtime(Settings(request_seconds=7), engine).request_context(lambda: True, "somebody")
    assert (context.limit_seconds, context.caller, context.abandoned) == (7, "somebody", True)


@pytest.mark.parametrize(
    ("settings", "gated"),
    [(Settings(), True), (Settings(strict=True), False), (Settings(speech_floor=0.0), False)],
)
def test_silence_gate(settings: Settings, gated: bool) -> None:
    assert Runtime(settings).transcriber.policy.gated is gated


def test_the_catalogue_has_the_settings_and_the_engines_names(engine: ScriptedEngine) -> None:
    runtime = Runtime(Settings(model_aliases=("our-whisper", "dept-*")), engine)
    assert runtime.catalogue.names()[0] == "scripted"
    assert runtime.catalogue.accepts("our-whisper")
    assert runtime.catalogue.accepts("dept-7")
    assert runtime.catalogue.speech_names() == ()


PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4


@pytest.fixture
def readable_again() -> Iterator[None]:
    """This process, which a start hides from others of the same user."""
    yield
    prctl(PR_SET_DUMPABLE, 1)


def prctl(option: int, value: int = 0) -> int:
    result: int = ctypes.CDLL(None).prctl(option, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0)))
    return result


@pytest.mark.usefixtures("readable_again")
def test_started_with_the_demo_model() -> None:
    runtime = Runtime(Settings(model="demo", threads=1))
    assert prctl(PR_GET_DUMPABLE) == 1
    model = runtime.start("cpu")
    try:
        assert model is runtime.model
        assert prctl(PR_GET_DUMPABLE) == 0
        assert runtime.ready
        assert runtime.notice == DEMO_NOTICE
        assert model.card.name == "demo"
        assert runtime.facts.owner == "tiny-openai-whisper-api"
        assert runtime.facts.created == int(DEMO_PATH.stat().st_mtime)
        assert runtime.catalogue.accepts("demo")
        assert flagship(runtime) == "The sun rises in the east and sets in the west."
        assert model.meter.seconds_per_full_window > 0.0
        assert model.meter.windows_finished == 1
        assert model.meter.model_seconds > 0.0
        assert b"whisper_batch_fill_count 0.0" not in runtime.metrics.text()
    finally:
        runtime.close()
    assert not runtime.ready
