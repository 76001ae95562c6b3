"""From a file to its segments: what is held meanwhile, and where a second try goes on."""

import io
import math
from dataclasses import replace

import pytest

from app.errors import ClientGone, InvalidParameter, RequestTimeout, ServerBusy, UndecodableAudio
from app.held_audio import HeldAudio
from app.request_context import RequestContext
from app.transcript import Transcript
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcribe import collected
from app.transcription.transcriber import Transcriber
from app.waveform.audio_limits import AudioLimits
from tests.scripted_engine import ScriptedEngine, result, silence, spell
from tests.unit.transcription.wav_files import wav

REQUEST = TranscriptionRequest(language="en", word_timestamps=True, logprobs=True)
GRACE_SECONDS = 3_600
WINDOWS = [0, 3000, 6000, 9000]
"""Where those of two minutes begin."""


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda window, options: result(*spell(" Hello.")))


def transcriber_of(engine: ScriptedEngine, grace_seconds: float = GRACE_SECONDS) -> Transcriber:
    reader = AudioReader(AudioLimits(), lambda limit: math.inf)
    return Transcriber(lambda context: engine, Policy(), reader, ResumeStore(grace_seconds))


@pytest.fixture
def transcriber(engine: ScriptedEngine):
    made = transcriber_of(engine)
    yield made
    made.resume_store.close()


def two_minutes() -> io.BytesIO:
    return wav([1] * 600)


def context_of(engine: ScriptedEngine, leave_after: float = math.inf, caller: str = "") -> RequestContext:
    """For a client that leaves once so many windows are decoded in all."""
    return RequestContext.of(60, lambda: len(engine.decoded) >= leave_after, caller)


def whole(transcriber: Transcriber, context: RequestContext) -> Transcript:
    return transcriber.transcribe(two_minutes(), REQUEST, context)


def streamed(transcriber: Transcriber, context: RequestContext) -> Transcript:
    return collected(transcriber.stream(two_minutes(), REQUEST, context), REQUEST.task)


def windows(engine: ScriptedEngine) -> list[int]:
    return [seek for seek, _, _ in engine.decoded]


def assert_nothing_is_held(transcriber: Transcriber) -> None:
    assert transcriber.reader.held_audio.samples == 0
    assert len(transcriber.resume_store) == 0


def test_transcribe(transcriber: Transcriber, engine: ScriptedEngine) -> None:
    transcript = whole(transcriber, context_of(engine))
    assert transcript.text == "Hello. Hello. Hello. Hello."
    assert transcript.duration_seconds == 120.0
    assert_nothing_is_held(transcriber)


def test_a_stream_gives_the_same(transcriber: Transcriber, engine: ScriptedEngine) -> None:
    assert streamed(transcriber, context_of(engine)) == whole(transcriber, context_of(engine))


def test_so_do_samples(transcriber: Transcriber, engine: ScriptedEngine) -> None:
    deltas = transcriber.stream_samples(silence(120), REQUEST, context_of(engine))
    assert collected(deltas, REQUEST.task) == whole(transcriber, context_of(engine))


def test_each_channel_has_a_speaker(transcriber: Transcriber, engine: ScriptedEngine) -> None:
    request = TranscriptionRequest(by_channel=True, speaker_names=("Ann",))
    transcript = transcriber.transcribe(wav([1], [2]), request, context_of(engine))
    assert [segment.speaker for segment in transcript.segments] == ["Ann", "A"]


def test_a_mono_recording_is_transcribed_as_without_speakers(
    transcriber: Transcriber, engine: ScriptedEngine
) -> None:
    plain = TranscriptionRequest(language="en", logprobs=True)
    request = replace(plain, by_channel=True, mono_is_plain=True, speaker_names=("Ann",))
    transcript = transcriber.transcribe(wav([1]), request, context_of(engine))
    assert transcript == transcriber.transcribe(wav([1]), plain, context_of(engine))
    assert {segment.speaker for segment in transcript.segments} == {None}
    assert all(not segment.words for segment in transcript.segments), "word times change what is decoded"


@pytest.mark.parametrize("first", [whole, streamed])
@pytest.mark.parametrize("second", [whole, streamed])
def test_a_client_that_comes_back_goes_on_where_it_was(engine: ScriptedEngine, first, second) -> None:
    expected = whole(transcriber_of(engine, grace_seconds=0), context_of(engine))
    assert windows(engine) == WINDOWS
    engine.decoded.clear()
    transcriber = transcriber_of(engine)
    for count in (1, 3):
        with pytest.raises(ClientGone):
            first(transcriber, context_of(engine, leave_after=count))
        assert len(engine.decoded) == count
    assert second(transcriber, context_of(engine)) == expected
    assert windows(engine) == WINDOWS
    assert_nothing_is_held(transcriber)
    transcriber.resume_store.close()


def test_a_stream_that_is_closed_goes_on_where_it_was(
    transcriber: Transcriber, engine: ScriptedEngine
) -> None:
    deltas = transcriber.stream(two_minutes(), REQUEST, context_of(engine))
    next(deltas)
    deltas.close()
    assert len(transcriber.resume_store) == 1
    streamed(transcriber, context_of(engine))
    assert windows(engine) == WINDOWS


@pytest.mark.parametrize("way", [whole, streamed])
@pytest.mark.parametrize(("grace_seconds", "caller"), [(GRACE_SECONDS, "somebody else"), (0, "")])
def test_what_is_not_kept_is_decoded_anew(
    engine: ScriptedEngine, way, grace_seconds: float, caller: str
) -> None:
    transcriber = transcriber_of(engine, grace_seconds)
    with pytest.raises(ClientGone):
        way(transcriber, context_of(engine, leave_after=2))
    way(transcriber, context_of(engine, caller=caller))
    assert windows(engine) == [0, 3000, *WINDOWS]
    transcriber.resume_store.close()


@pytest.mark.parametrize("gone", [True, False])
def test_sound_is_held_until_the_end(transcriber: Transcriber, engine: ScriptedEngine, gone: bool) -> None:
    held: list[int] = []

    def client_gone() -> bool:
        held.append(transcriber.reader.held_audio.samples)
        return gone and bool(engine.decoded)

    context = RequestContext.of(60, client_gone)
    if gone:
        with pytest.raises(ClientGone):
            whole(transcriber, context)
    else:
        whole(transcriber, context)
    assert max(held) == 600 * 3_200
    assert transcriber.reader.held_audio.samples == 0


def test_a_bad_file_fails_before_the_first_segment_and_leaves_nothing_held(
    transcriber: Transcriber, engine: ScriptedEngine
) -> None:
    with pytest.raises(UndecodableAudio):
        transcriber.stream(io.BytesIO(b"noise" * 99), REQUEST, context_of(engine))
    assert engine.recordings == []
    assert_nothing_is_held(transcriber)


def test_a_file_that_there_is_no_room_for_leaves_nothing_held(
    transcriber: Transcriber, engine: ScriptedEngine
) -> None:
    small = replace(transcriber, reader=replace(transcriber.reader, held_audio=HeldAudio(1)))
    with small.reader.held_audio.share() as other:
        other.take(16_000)
        with pytest.raises(ServerBusy):
            small.stream(two_minutes(), REQUEST, context_of(engine))
    assert engine.recordings == []
    assert_nothing_is_held(small)


def test_closed_before_the_first_segment_all_is_given_back(
    transcriber: Transcriber, engine: ScriptedEngine
) -> None:
    deltas = transcriber.stream(two_minutes(), REQUEST, context_of(engine))
    assert transcriber.reader.held_audio.samples == 600 * 3_200
    assert len(transcriber.resume_store) == 1
    deltas.close()
    assert engine.recordings == []
    assert_nothing_is_held(transcriber)


def test_closed_after_it_the_recording_is_closed(transcriber: Transcriber, engine: ScriptedEngine) -> None:
    deltas = transcriber.stream(two_minutes(), REQUEST, context_of(engine))
    next(deltas)
    deltas.close()
    assert [recording.closed for recording in engine.recordings] == [True]
    assert transcriber.reader.held_audio.samples == 0


def test_each_clip_counts_as_a_window(transcriber: Transcriber, engine: ScriptedEngine) -> None:
    request = TranscriptionRequest(clip_seconds=tuple(map(float, range(2_048))))
    transcriber.stream(wav([1]), request, context_of(engine)).close()  # the speed is not known yet
    slow = replace(transcriber, reader=replace(transcriber.reader, longest_seconds=lambda limit: 30_000.0))
    hour = RequestContext.of(3_600)
    with pytest.raises(InvalidParameter, match="can transcribe 1000 at its present speed within the 3600 s"):
        slow.stream(wav([1]), request, hour)
    assert hour.cost.totals().read_seconds == 0.0  # nothing was read
    slow.stream(wav([1]), TranscriptionRequest(), hour).close()
    assert_nothing_is_held(transcriber)


def test_a_request_ends_at_its_deadline(transcriber: Transcriber, engine: ScriptedEngine) -> None:
    late = replace(RequestContext.of(3_600), deadline=0.0)
    with pytest.raises(RequestTimeout, match="3600 seconds"):
        transcriber.stream(two_minutes(), REQUEST, late)
    with pytest.raises(RequestTimeout, match="3600 seconds"):
        list(transcriber.stream_samples(silence(1), REQUEST, late))
    assert engine.recordings == []
