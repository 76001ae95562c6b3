"""Where nobody speaks there is no text, with the gate as it is by default."""

import pytest

from app.request_context import RequestContext
from app.settings import Settings
from app.transcription.request import Policy, TranscriptionRequest
from app.waveform.voice_activity import VoiceActivity
from tests.real import speech
from tests.real.conftest import Pairs
from tests.real.sounds import sounds
from tests.transcripts import transcribe

pytestmark = pytest.mark.timeout(3_600)

MODELS = [pytest.param("tiny.en", marks=pytest.mark.slow), pytest.param("base", marks=pytest.mark.real)]


@pytest.fixture(scope="module")
def policy(voice_activity: VoiceActivity) -> Policy:
    return Policy(speech_floor=Settings().speech_floor, has_speech=voice_activity.has_speech)


@pytest.mark.parametrize("name", MODELS)
def test_noise_and_music_are_no_text(pairs: Pairs, policy: Policy, name: str) -> None:
    engine, found = pairs[name].engine, {}
    for language in (None, "en") if engine.card.multilingual else (None,):
        request = TranscriptionRequest(language=language)
        for sound, samples in sounds():
            transcript = transcribe(engine, samples, request, policy, RequestContext.of(3_600))
            found[sound, language] = transcript.text
    assert {sound: text for sound, text in found.items() if text} == {}


@pytest.mark.slow
@pytest.mark.parametrize("quieter_db", [0, 20, 40])
def test_speech_passes_the_gate(policy: Policy, quieter_db: int) -> None:
    factor = 10 ** (-quieter_db / 20)
    found = {each.name: policy.worth_decoding(each.samples * factor) for each in speech.everything()}
    assert [name for name, passes in found.items() if not passes] == []
