"""A request for the language alone: openai-whisper's, of the first 30 s, and nothing is decoded."""

from dataclasses import replace

import pytest

from app.engines.interface import WINDOW_FRAMES
from app.request_context import RequestContext
from app.transcript import Transcript
from app.transcription.request import Policy, TranscriptionRequest
from tests.scripted_engine import ScriptedEngine, result, silence
from tests.transcripts import transcribe


class EnglishEngine(ScriptedEngine):
    @property
    def card(self):
        return replace(super().card, languages=("en",), multilingual=False)


def asked(engine: ScriptedEngine, seconds: float, **options) -> Transcript:
    request = TranscriptionRequest(language_only=True, **options)
    return transcribe(engine, silence(seconds), request, Policy(), RequestContext.of(60))


@pytest.mark.parametrize("seconds", [1.0, 30.0, 100.0])
def test_it_is_found_in_the_first_window(seconds: float) -> None:
    engine = ScriptedEngine(lambda window, options: result(), languages={"en": 0.25, "de": 0.75})
    transcript = asked(engine, seconds)
    assert (transcript.language, transcript.language_probability) == ("de", 0.75)
    assert (transcript.text, transcript.segments) == ("", ())
    assert engine.detected == [(0, WINDOW_FRAMES)]
    assert engine.decoded == []
    [recording] = engine.recordings
    assert recording.frames == min(seconds, 30.0) * 100
    assert recording.closed


def test_an_english_model_is_sure() -> None:
    engine = EnglishEngine(lambda window, options: result())
    transcript = asked(engine, 1.0)
    assert (transcript.language, transcript.language_probability) == ("en", 1.0)
    assert engine.detected == []
