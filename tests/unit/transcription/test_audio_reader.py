"""Files as samples, within limits and counted."""

import io
import math
from pathlib import Path

import pytest

from app.errors import AudioTooLong, ClientGone, InvalidParameter, ServerBusy, UndecodableAudio
from app.held_audio import HeldAudio
from app.request_context import RequestContext
from app.transcription.audio_reader import AudioReader
from app.waveform.audio_limits import AudioLimits
from tests.unit.transcription.wav_files import wav

FLAGSHIP = Path(__file__).resolve().parents[2] / "data" / "flagship.wav"


def reader_of(longest_seconds: float = math.inf, held_audio: HeldAudio | None = None) -> AudioReader:
    return AudioReader(AudioLimits(), lambda limit: longest_seconds, held_audio=held_audio or HeldAudio())


@pytest.fixture
def reader() -> AudioReader:
    return reader_of()


@pytest.fixture
def context() -> RequestContext:
    return RequestContext.of(60)


def test_reading_a_file_is_accounted_for(reader: AudioReader, context: RequestContext) -> None:
    with FLAGSHIP.open("rb") as file, reader.read(file, context) as samples:
        assert len(samples) / 16_000 == pytest.approx(2.76, abs=0.1)
    assert context.cost.totals().audio_seconds == len(samples) / 16_000
    assert context.cost.totals().read_seconds > 0.0


def test_so_is_reading_what_is_no_audio(reader: AudioReader, context: RequestContext) -> None:
    with pytest.raises(UndecodableAudio), reader.read(io.BytesIO(b"no audio" * 100), context):
        pass
    assert context.cost.totals().read_seconds > 0.0
    assert context.cost.totals().audio_seconds == 0.0
    assert reader.held_audio.samples == 0


def test_nothing_is_read_for_who_has_left(reader: AudioReader) -> None:
    gone = RequestContext.of(60, lambda: True)
    with pytest.raises(ClientGone), reader.read(wav([1]), gone):
        pass
    assert gone.cost.totals().read_seconds == 0.0


def test_each_channel_has_a_speaker(reader: AudioReader, context: RequestContext) -> None:
    with reader.read(wav([1], [2], [3]), context, by_channel=True) as samples:
        assert samples.shape == (3, 3_200)
    assert context.cost.totals().audio_seconds == 0.2


@pytest.mark.parametrize("channels", [[[1]], [[1], [1]], [[0], [0], [0]]], ids=["mono", "stereo", "three"])
def test_a_mono_recording_has_no_channel_for_each_speaker(
    reader: AudioReader, context: RequestContext, channels: list[list[int]]
) -> None:
    with (
        pytest.raises(InvalidParameter, match="told apart by channel") as caught,
        reader.read(wav(*channels), context, by_channel=True),
    ):
        pass
    assert caught.value.param == "file"
    assert reader.held_audio.samples == 0
    with reader.read(wav(*channels), context) as samples:
        assert samples.shape == (3_200,)


@pytest.mark.parametrize("channels", [[[1]], [[1], [1]]], ids=["mono", "stereo"])
def test_a_mono_recording_may_be_plain(
    reader: AudioReader, context: RequestContext, channels: list[list[int]]
) -> None:
    with (
        reader.read(wav(*channels), context, by_channel=True, mono_is_plain=True) as samples,
        reader.read(wav(*channels), context) as plain,
    ):
        assert samples.tolist() == plain.tolist()


def test_channels_of_speakers_are_never_plain(reader: AudioReader, context: RequestContext) -> None:
    with reader.read(wav([1], [2]), context, by_channel=True, mono_is_plain=True) as samples:
        assert samples.shape == (2, 3_200)


def test_each_channel_counts_in_what_is_held(reader: AudioReader, context: RequestContext) -> None:
    with reader.read(wav([1], [2], [3]), context, by_channel=True):
        assert reader.held_audio.samples == 3 * 3_200
        with reader.read(wav([1], [2], [3]), context):
            assert reader.held_audio.samples == 4 * 3_200
        assert reader.held_audio.samples == 3 * 3_200
    assert reader.held_audio.samples == 0


def test_sound_that_there_is_no_room_for_is_refused(context: RequestContext) -> None:
    reader = reader_of(held_audio=HeldAudio(1))
    with reader.held_audio.share() as other:
        other.take(16_000)
        with pytest.raises(ServerBusy, match="it holds 1 seconds at a time"), reader.read(wav([1]), context):
            pass
        assert reader.held_audio.samples == 16_000
    assert context.cost.totals().audio_seconds == 0.0
    with reader.read(wav([1]), context) as samples:
        assert len(samples) == 3_200


def test_what_cannot_be_done_within_the_deadline_is_not_read() -> None:
    with (
        FLAGSHIP.open("rb") as file,
        pytest.raises(AudioTooLong) as caught,
        reader_of(longest_seconds=2.5).read(file, RequestContext.of(10)),
    ):
        pass
    assert caught.value.message == (
        "Audio duration 2.8 seconds is longer than 2.5 seconds, which is all that this server can "
        "transcribe at its present speed within the 10 seconds that it allows a request "
        "(WHISPER_REQUEST_SECONDS)."
    )
