"""Permits, readiness and model names of one worker."""

import ctypes
import io
import math
import wave
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.admission import ADMITTED
from app.checkpoints import DEMO_NOTICE, DEMO_PATH
from app.engines.metered import Meter
from app.errors import (
    AudioTooLong,
    ClientGone,
    InvalidParameter,
    ModelNotFound,
    RequestTimeout,
    ServerBusy,
    UndecodableAudio,
)
from app.held_audio import HeldAudio
from app.runtime import TRANSCRIPTION_MODELS, Runtime
from app.settings import Settings
from app.transcript import RequestCost, Transcript
from app.transcription.request import TranscriptionRequest
from tests.scripted_engine import ScriptedEngine, result, spell

UNGATED = Settings(speech_floor=0)
DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda window, options: result(*spell(" Hello.")))


@pytest.fixture
def runtime(engine: ScriptedEngine) -> Runtime:
    return Runtime(Settings(), engine)


def test_not_ready_before_the_start() -> None:
    runtime = Runtime(Settings())
    assert not runtime.ready
    assert runtime.notice is None
    assert (runtime.owner, runtime.created) == ("", 0)
    assert runtime.accepts_model("whisper-1")
    with pytest.raises(ServerBusy, match="still being loaded"):
        _ = runtime.card
    runtime.close()


def test_ready_while_the_engine_lives(runtime: Runtime, engine: ScriptedEngine) -> None:
    assert runtime.ready
    engine.alive = False
    assert not runtime.ready


def test_draining_is_not_ready_but_still_works(runtime: Runtime) -> None:
    runtime.drain()
    assert not runtime.ready
    with runtime.admit(), (DATA / "flagship.wav").open("rb") as file:
        assert runtime.transcribe(file, TranscriptionRequest()).text == "Hello."


def test_close_stops_the_engine(runtime: Runtime, engine: ScriptedEngine) -> None:
    runtime.close()
    assert not engine.alive
    assert not runtime.ready


def test_permits_are_limited_and_come_back(runtime: Runtime) -> None:
    with ExitStack() as admitted:
        for _ in range(ADMITTED):
            admitted.enter_context(runtime.admit())
        with pytest.raises(ServerBusy) as caught, runtime.admit():
            pass
        assert 1 <= caught.value.retry_after_seconds <= 120
    with runtime.admit(), runtime.read():
        pass


def test_the_measured_speed_decides_how_long_a_request_may_wait(engine: ScriptedEngine) -> None:
    runtime = Runtime(Settings(max_wait_seconds=10), engine)
    runtime.meter = Meter(11.0)
    with runtime.admit(), pytest.raises(ServerBusy, match="after about 11 seconds"), runtime.admit():
        pass


def test_what_cannot_be_done_within_the_deadline_is_not_decoded(engine: ScriptedEngine) -> None:
    runtime = Runtime(Settings(request_seconds=10), engine)
    runtime.meter = Meter(120.0)
    with (DATA / "flagship.wav").open("rb") as file, pytest.raises(AudioTooLong) as caught:
        runtime.transcribe(file, TranscriptionRequest())
    assert caught.value.message == (
        "Audio duration 2.8 seconds is longer than 2.5 seconds, which is all that this server can "
        "transcribe at its present speed within the 10 seconds that it allows a request "
        "(WHISPER_REQUEST_SECONDS)."
    )
    assert engine.recordings == []


def test_each_clip_counts_as_a_window(runtime: Runtime) -> None:
    request = TranscriptionRequest(clip_seconds=tuple(map(float, range(2_048))))
    runtime.require_time_for(request)  # the speed is not known yet
    runtime.meter = Meter(3.6)
    with pytest.raises(InvalidParameter, match="can transcribe 1000 at its present speed within the 3600 s"):
        runtime.require_time_for(request)
    runtime.require_time_for(TranscriptionRequest())


def test_what_a_request_cost_is_counted_for_it(runtime: Runtime) -> None:
    cost = RequestCost()
    with (DATA / "flagship.wav").open("rb") as file:
        runtime.transcribe(file, TranscriptionRequest(), cost=cost)
    assert (cost.windows, runtime.meter.windows_finished) == (1, 1)


def test_transcribe(runtime: Runtime) -> None:
    with (DATA / "flagship.wav").open("rb") as file:
        transcript = runtime.transcribe(file, TranscriptionRequest(language="en"))
    assert transcript.text == "Hello."
    assert transcript.duration_seconds == pytest.approx(2.76, abs=0.1)


def windows(engine: ScriptedEngine) -> list[int]:
    return [seek for seek, _, _ in engine.decoded]


def transcribe_minutes(runtime: Runtime, *, leave_after: float = math.inf, caller: str = "") -> Transcript:
    """Two minutes of sound for a client that leaves once so many windows are decoded in all."""
    engine = runtime.engine
    return runtime.transcribe(
        wav([1] * 600), REQUEST, client_gone=lambda: len(engine.decoded) >= leave_after, caller=caller
    )


REQUEST = TranscriptionRequest(language="en", word_timestamps=True, logprobs=True)


def test_a_client_that_comes_back_goes_on_where_it_was(engine: ScriptedEngine) -> None:
    expected = transcribe_minutes(Runtime(UNGATED, engine))
    assert windows(engine) == [0, 3000, 6000, 9000]
    engine.decoded.clear()
    runtime = Runtime(UNGATED, engine)
    for count in (1, 3):
        with pytest.raises(ClientGone):
            transcribe_minutes(runtime, leave_after=count)
        assert len(engine.decoded) == count
    assert transcribe_minutes(runtime) == expected
    assert windows(engine) == [0, 3000, 6000, 9000]
    runtime.close()


@pytest.mark.parametrize(
    ("settings", "caller"), [(UNGATED, "somebody else"), (replace(UNGATED, retry_grace_seconds=0), "")]
)
def test_what_is_not_remembered_is_decoded_anew(
    engine: ScriptedEngine, settings: Settings, caller: str
) -> None:
    runtime = Runtime(settings, engine)
    with pytest.raises(ClientGone):
        transcribe_minutes(runtime, leave_after=2)
    transcribe_minutes(runtime, caller=caller)
    assert windows(engine) == [0, 3000, 0, 3000, 6000, 9000]
    runtime.close()


def test_a_stream_is_not_resumed(engine: ScriptedEngine) -> None:
    runtime = Runtime(UNGATED, engine)
    with pytest.raises(ClientGone):
        transcribe_minutes(runtime, leave_after=2)
    samples = runtime.decode(wav([1] * 600), runtime.context(), runtime.held_audio.share())
    assert len(list(runtime.stream(samples, REQUEST, runtime.context()))) == 5
    assert windows(engine)[2:] == [0, 3000, 6000, 9000]
    runtime.close()


def test_reading_a_file_is_accounted_for(runtime: Runtime) -> None:
    cost = RequestCost()
    with (DATA / "flagship.wav").open("rb") as file:
        runtime.decode(file, runtime.context(cost=cost), runtime.held_audio.share())
    assert cost.audio_seconds == pytest.approx(2.76, abs=0.1)
    assert cost.decode_seconds > 0.0
    with pytest.raises(UndecodableAudio):
        runtime.decode(
            io.BytesIO(b"no audio" * 100),
            runtime.context(cost=(failed := RequestCost())),
            runtime.held_audio.share(),
        )
    assert failed.decode_seconds > 0.0
    assert failed.audio_seconds == 0.0


def test_stream_gives_the_same_text(runtime: Runtime) -> None:
    with (DATA / "flagship.wav").open("rb") as file:
        samples = runtime.decode(file, runtime.context(), runtime.held_audio.share())
    deltas = list(runtime.stream(samples, TranscriptionRequest(), runtime.context()))
    assert "".join(delta.text for delta in deltas) == "Hello."


def wav(*channels: list[int]) -> io.BytesIO:
    """Channels of 16-bit samples, 0.2 s at 16 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(len(channels))
        audio.setsampwidth(2)
        audio.setframerate(16_000)
        audio.writeframes(np.array(channels, "<i2").T.repeat(3_200, axis=0).tobytes())
    return file


def test_each_channel_has_a_speaker(runtime: Runtime) -> None:
    samples = runtime.decode(
        wav([1], [2], [3]), runtime.context(), runtime.held_audio.share(), by_channel=True
    )
    assert samples.shape == (3, 3_200)
    request = TranscriptionRequest(by_channel=True, speaker_names=("Ann",))
    transcript = runtime.transcribe(wav([1], [2]), request)
    assert [segment.speaker for segment in transcript.segments] == ["Ann", "A"]


@pytest.mark.parametrize("channels", [[[1]], [[1], [1]], [[0], [0], [0]]], ids=["mono", "stereo", "three"])
def test_a_mono_recording_has_no_channel_for_each_speaker(
    runtime: Runtime, channels: list[list[int]]
) -> None:
    with pytest.raises(InvalidParameter, match="told apart by channel") as caught:
        runtime.decode(wav(*channels), runtime.context(), runtime.held_audio.share(), by_channel=True)
    assert caught.value.param == "file"
    assert runtime.decode(wav(*channels), runtime.context(), runtime.held_audio.share()).shape == (3_200,)


def test_each_channel_counts_in_what_a_request_holds(runtime: Runtime) -> None:
    with runtime.held_audio.share() as share:
        runtime.decode(wav([1], [2], [3]), runtime.context(), share, by_channel=True)
        assert share.samples == runtime.held_audio.samples == 3 * 3_200
        runtime.decode(wav([1], [2], [3]), runtime.context(), share)
        assert share.samples == 4 * 3_200
    assert runtime.held_audio.samples == 0


@pytest.mark.parametrize("gone", [True, False])
def test_a_transcription_holds_its_sound_until_it_ends(
    runtime: Runtime, engine: ScriptedEngine, gone: bool
) -> None:
    held: list[int] = []

    def client_gone() -> bool:
        held.append(runtime.held_audio.samples)
        return gone and bool(engine.decoded)

    with suppress(ClientGone):
        transcribe = runtime.transcribe(wav([1] * 600), REQUEST, client_gone)
        assert not gone, transcribe
    assert max(held) == 600 * 3_200
    assert runtime.held_audio.samples == 0
    runtime.close()


def test_sound_that_there_is_no_room_for_is_refused(runtime: Runtime, engine: ScriptedEngine) -> None:
    runtime.held_audio = HeldAudio(1)
    with runtime.held_audio.share() as other:
        other.take(16_000)
        with pytest.raises(ServerBusy, match="it holds 1 seconds at a time"):
            runtime.transcribe(wav([1]), TranscriptionRequest())
    assert engine.recordings == []
    assert runtime.transcribe(wav([1]), TranscriptionRequest()).text == "Hello."


def test_request_ends_at_its_deadline(runtime: Runtime) -> None:
    impatient = replace(runtime.context(), deadline=0.0)
    with (DATA / "flagship.wav").open("rb") as file:
        samples = runtime.decode(file, runtime.context(), runtime.held_audio.share())
    with pytest.raises(RequestTimeout, match="3600 seconds"):
        list(runtime.stream(samples, TranscriptionRequest(), impatient))


@pytest.mark.parametrize(
    ("settings", "gated"),
    [(Settings(), True), (Settings(strict=True), False), (Settings(speech_floor=0.0), False)],
)
def test_silence_gate(settings: Settings, gated: bool) -> None:
    assert Runtime(settings).policy.gated is gated


@pytest.mark.parametrize(
    "name",
    [
        *TRANSCRIPTION_MODELS,
        "gpt-4o-mini-transcribe-2030-01-01",
        "gpt-4o-audio-preview",
        "gpt-4o-audio-preview-2025-06-03",
        "gpt-4o-mini-audio-preview-2024-12-17",
        "gpt-audio",
        "gpt-audio-mini",
        "scripted",
    ],
)
def test_accepted_models(runtime: Runtime, name: str) -> None:
    assert runtime.accepts_model(name)
    runtime.require_model(name)


@pytest.mark.parametrize(
    "name", ["", "gpt-4o", "whisper-2", "Whisper-1", "turbo", "demo", "*", "gpt-4o-transcribe-x"]
)
def test_other_models_are_not_found(runtime: Runtime, name: str) -> None:
    assert not runtime.accepts_model(name)
    with pytest.raises(ModelNotFound) as caught:
        runtime.require_model(name)
    assert caught.value.message == f"The model `{name}` does not exist or you do not have access to it."
    assert caught.value.param == "model"


def test_aliases(engine: ScriptedEngine) -> None:
    runtime = Runtime(Settings(model_aliases=("our-whisper", "dept-*")), engine)
    assert runtime.accepts_model("our-whisper")
    assert runtime.accepts_model("dept-7")
    assert not runtime.accepts_model("your-whisper")
    assert "our-whisper" in runtime.model_names()
    assert "dept-*" not in runtime.model_names()


def test_a_star_accepts_any_name(engine: ScriptedEngine) -> None:
    assert Runtime(Settings(model_aliases=("*",)), engine).accepts_model("anything/at:all")


def test_listed_models_are_accepted_and_start_with_the_own(runtime: Runtime) -> None:
    names = runtime.model_names()
    assert names[0] == "scripted"
    assert len(set(names)) == len(names)
    assert all(runtime.accepts_model(name) for name in names)


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
    runtime.start("cpu")
    try:
        assert prctl(PR_GET_DUMPABLE) == 0
        assert runtime.ready
        assert runtime.notice == DEMO_NOTICE
        assert runtime.card.name == "demo"
        assert runtime.owner == "tiny-openai-whisper-api"
        assert runtime.created == int(DEMO_PATH.stat().st_mtime)
        assert runtime.accepts_model("demo")
        with (DATA / "flagship.wav").open("rb") as file:
            transcript = runtime.transcribe(file, TranscriptionRequest())
        assert transcript.text.strip() == "The sun rises in the east and sets in the west."
        assert runtime.meter.seconds_per_window > 0.0
        assert runtime.meter.windows_finished == 1
        assert runtime.meter.model_seconds > 0.0
        assert b"whisper_batch_fill_count 0.0" not in runtime.metrics.text()
    finally:
        runtime.close()
    assert not runtime.ready
