"""A short context with OpenAI's own weights: where it is heard as well as in full, and that it is used."""

import pytest

from app.request_context import RequestContext
from app.transcript import AudioContext
from app.transcription.request import Policy, TranscriptionRequest
from app.waveform.voice_activity import VoiceActivity
from benchmarks import word_errors
from benchmarks.speech import Recording
from tests.real import speech
from tests.real.conftest import Pairs
from tests.transcripts import transcribe

pytestmark = [
    pytest.mark.timeout(3_600),
    pytest.mark.filterwarnings("ignore:unclosed file.*english.json:ResourceWarning"),
    pytest.mark.filterwarnings(  # openai-whisper leaves its table of spellings open
        "ignore:Exception ignored in.*english.json:pytest.PytestUnraisableExceptionWarning"
    ),
]

MODELS = [pytest.param("tiny.en", marks=pytest.mark.slow), pytest.param("base", marks=pytest.mark.real)]


@pytest.mark.parametrize("name", MODELS)
def test_english_is_heard_as_well(pairs: Pairs, voice_activity: VoiceActivity, name: str) -> None:
    """But for a word in fifty. Among these recordings is none for which it is not used."""
    policy, used = Policy(has_speech=voice_activity.has_speech), []

    def heard(recording: Recording, audio_context: AudioContext) -> str:
        request = TranscriptionRequest(language=recording.language, audio_context=audio_context)
        context = RequestContext.of(3_600)
        text = transcribe(pairs[name].engine, recording.samples, request, policy, context).text
        if audio_context == "short":
            used.append(context.cost.totals().short_contexts)
        return text

    recordings = speech.english()
    short, words = word_errors.errors(recordings, lambda recording: heard(recording, "short"))
    full, _ = word_errors.errors(recordings, lambda recording: heard(recording, "full"))
    assert short <= full + max(1, words // 50)
    assert len(used) == len(recordings)
    assert all(used)
