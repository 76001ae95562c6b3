"""Text of an utterance while it is spoken, on the demo weights and both engines, half a second at a time."""

import pytest

from app.engines.interface import Engine
from app.realtime.live_transcript import LiveText
from app.request_context import RequestContext
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcribe import collected
from app.transcription.transcriber import Transcriber
from app.waveform import SAMPLE_RATE
from app.waveform.audio_limits import AudioLimits
from app.waveform.voice_activity import VoiceActivity
from tests.oracle.recordings import RECORDINGS

REQUEST = TranscriptionRequest(language="en")
STEP = SAMPLE_RATE // 2


@pytest.fixture(scope="module")
def voices() -> VoiceActivity:
    return VoiceActivity()


def transcriber(engine: Engine, voices: VoiceActivity) -> Transcriber:
    reader = AudioReader(AudioLimits(), lambda limit: limit)
    return Transcriber(lambda context: engine, Policy(has_speech=voices.has_speech), reader, ResumeStore(0))


@pytest.mark.parametrize("name", ["one sentence", "another synthesizer"])
def test_what_is_sent_is_the_beginning_of_the_transcript(
    engine: Engine, voices: VoiceActivity, name: str
) -> None:
    """openai-whisper's decoder can't go on after words: it has to say them again, and does."""
    samples, context = RECORDINGS[name](), RequestContext.of(600)
    of_engine = transcriber(engine, voices)
    live = LiveText(of_engine, REQUEST, voices.stream())
    deltas = [live.update(samples[live.begin : end], context) for end in range(STEP, len(samples), STEP)]
    final = collected(of_engine.stream_samples(samples, REQUEST, context), "transcribe").text
    sent = "".join(deltas)
    assert sent
    assert final.startswith(sent)
    assert sent + live.finish(final) == final


@pytest.mark.parametrize("name", ["silence", "noise", "held tones"])
def test_where_nobody_speaks_nothing_is_sent(engine: Engine, voices: VoiceActivity, name: str) -> None:
    samples, context = RECORDINGS[name](), RequestContext.of(600)
    live = LiveText(transcriber(engine, voices), REQUEST, voices.stream())
    assert not any(live.update(samples[live.begin : end], context) for end in range(STEP, len(samples), STEP))
