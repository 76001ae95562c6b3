"""The text of audio that isn't over: one decode of one window, after what is known of it."""

import threading
from dataclasses import replace

import pytest

from app.engines.interface import ModelCard, WindowResult
from app.errors import ClientGone
from app.request_context import RequestContext
from app.transcript import AudioContext
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcriber import Transcriber
from app.transcription.unfinished import KnownText, UnfinishedText
from app.waveform.audio_limits import AudioLimits
from tests.scripted_engine import ScriptedEngine, result, silence, spell, ts
from tests.unit.realtime.live_words import words_of
from tests.unit.transcription.late_engine import LateEngine

PATIENCE_SECONDS = 60
EN = TranscriptionRequest(language="en")
SAID = result(ts(0), *spell(" one two"))
NOTHING = KnownText(language="en")


def engine_that_says(said: WindowResult = SAID) -> ScriptedEngine:
    return ScriptedEngine(lambda window, options: said, words=list(words_of("one two")))


def hear(
    engine: ScriptedEngine,
    known: KnownText = NOTHING,
    request: TranscriptionRequest = EN,
    policy: Policy | None = None,
) -> UnfinishedText | None:
    """The text of 3 s."""
    return transcriber_of(engine, policy).hear_unfinished(silence(3), known, request, context())


def transcriber_of(engine: ScriptedEngine, policy: Policy | None = None) -> Transcriber:
    reader = AudioReader(AudioLimits(), lambda limit: limit)
    return Transcriber(lambda context: engine, policy or Policy(), reader, ResumeStore(0))


def context() -> RequestContext:
    return RequestContext.of(PATIENCE_SECONDS)


def test_it_has_the_windows_tokens_and_its_words_times() -> None:
    engine = engine_that_says()
    text = hear(engine)
    assert text is not None
    assert (text.tokens, text.words, text.language) == (SAID.tokens, words_of("one two"), "en")
    assert text.tokenizer.decode(text.tokens) == " one two"
    assert engine.decoded[0][:2] == (0, 300)
    assert [recording.closed for recording in engine.recordings] == [True]


def test_the_window_is_decoded_after_what_is_known() -> None:
    engine = engine_that_says()
    known = KnownText(previous=spell(" before"), prefix=SAID.tokens[:3], language="en")
    hear(engine, known, replace(EN, prompt="Names"))
    options = engine.decoded[0][2]
    assert (options.prompt, options.prefix) == (spell(" Names before"), SAID.tokens[:3])


def test_only_the_first_temperature_is_tried() -> None:
    engine = engine_that_says(replace(SAID, compression_ratio=3.0))
    assert hear(engine) is None
    assert [options.temperature for *_, options in engine.decoded] == [0.0]


@pytest.mark.parametrize(
    "changes",
    [{"avg_logprob": -1.5}, {"compression_ratio": 2.5}, {"avg_logprob": -1.5, "no_speech_prob": 0.9}],
    ids=["improbable", "repetitive", "silence"],
)
def test_what_a_transcription_would_reject_is_no_text(changes: dict[str, float]) -> None:
    engine = engine_that_says(replace(SAID, **changes))
    assert hear(engine) is None
    assert "align" not in dict(engine.calls)


def test_where_nobody_speaks_nothing_is_decoded() -> None:
    engine = engine_that_says()
    assert hear(engine, policy=Policy(has_speech=lambda samples, floor: False)) is None
    assert engine.calls == []


def test_a_language_that_is_likely_enough_is_taken() -> None:
    engine = engine_that_says()
    engine.languages = {"en": 0.4, "de": 0.6}
    text = hear(engine, KnownText(), TranscriptionRequest())
    assert text is not None
    assert (text.language, engine.decoded[0][2].language) == ("de", "de")


def test_without_a_likely_language_there_is_no_text_yet() -> None:
    engine = engine_that_says()
    engine.languages = {"en": 0.45, "de": 0.4, "fr": 0.15}
    assert hear(engine, KnownText(), TranscriptionRequest()) is None
    assert engine.decoded == []


def test_a_known_language_is_not_detected_again() -> None:
    engine = engine_that_says()
    hear(engine, KnownText(language="de"), TranscriptionRequest())
    assert (engine.detected, engine.decoded[0][2].language) == ([], "de")


def test_an_english_model_knows_no_other_language() -> None:
    class English(ScriptedEngine):
        @property
        def card(self) -> ModelCard:
            return ModelCard("scripted.en", ("en",), False, 448)

    engine = English(lambda window, options: SAID)
    text = hear(engine, KnownText(), TranscriptionRequest())
    assert text is not None
    assert (text.language, engine.detected) == ("en", [])


@pytest.mark.parametrize("audio_context", ["full", "short", None])
def test_the_context_is_short_and_never_decoded_again_in_full(audio_context: AudioContext | None) -> None:
    """The next update will hear more."""
    request = replace(EN, audio_context=audio_context)
    engine = engine_that_says()
    hear(engine, request=request)
    assert engine.calls == [("submit", 384), ("align", 384)]
    doubtful = engine_that_says(replace(SAID, compression_ratio=3.0))
    assert hear(doubtful, request=request) is None
    assert doubtful.calls == [("submit", 384)]


def test_text_that_begins_anew_after_a_short_context_is_no_text() -> None:
    again = result(ts(0), *spell(" one"), ts(1), ts(3.5), *spell(" one"), ts(4))
    assert hear(engine_that_says(again)) is None


@pytest.mark.parametrize(("prefix_seconds", "most"), [(0.0, 8 + 36), (2.0, 8 + 12), (9.0, 8)])
def test_no_more_is_decoded_than_can_be_said(prefix_seconds: float, most: int) -> None:
    engine = engine_that_says()
    hear(engine, KnownText(prefix=SAID.tokens[:5], prefix_seconds=prefix_seconds, language="en"))
    assert engine.decoded[0][2].sample_len == most


def test_the_end_of_what_is_sent() -> None:
    text = hear(engine_that_says())
    assert text is not None
    ends = [text.end_seconds(SAID.tokens[:count]) for count in (0, 1, 2, 5, 6, 9)]
    assert ends == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


def test_a_cancelled_text_is_waited_for_no_longer() -> None:
    """The engine never answers; the recording is closed, so that it drops what it was asked."""
    engine = LateEngine(lambda window, options: SAID)
    cancelled = context()
    threading.Timer(0.2, cancelled.cancel).start()
    with pytest.raises(ClientGone):
        transcriber_of(engine).hear_unfinished(silence(3), NOTHING, EN, cancelled)
    assert (engine.asked, [recording.closed for recording in engine.recordings]) == (["submit"], [True])
