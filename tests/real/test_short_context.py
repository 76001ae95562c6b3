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

pytestmark = pytest.mark.timeout(3_600)

MODELS = [pytest.param("tiny.en", marks=pytest.mark.slow), pytest.param("base", marks=pytest.mark.real)]


@pytest.mark.parametrize("name", MODELS)
def test_english_is_heard_as_well(pairs: Pairs, voice_activity: VoiceActivity, name: str) -> None:
    """But for a word in fifty. A text that is rejected in a short context is that in full."""
    policy = Policy(has_speech=voice_activity.has_speech)
    texts: dict[AudioContext, dict[str, str]] = {"short": {}, "full": {}}
    used: set[str] = set()

    def heard(recording: Recording, audio_context: AudioContext) -> str:
        request = TranscriptionRequest(language=recording.language, audio_context=audio_context)
        context = RequestContext.of(3_600)
        text = transcribe(pairs[name].engine, recording.samples, request, policy, context).text
        texts[audio_context][recording.name] = text
        used.update([recording.name] * context.cost.totals().short_contexts)
        return text

    recordings = speech.english()
    short, words = word_errors.errors(recordings, lambda recording: heard(recording, "short"))
    full, _ = word_errors.errors(recordings, lambda recording: heard(recording, "full"))
    assert short <= full + max(1, words // 50)
    names = {recording.name for recording in recordings}
    assert used == names if name == "base" else used
    assert {name: texts["short"][name] for name in names - used} == {
        name: texts["full"][name] for name in names - used
    }
