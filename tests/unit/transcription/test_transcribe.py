"""The window loop, over an engine that answers by script."""

from dataclasses import replace

import pytest

from app.errors import ClientGone, EngineFailure, InvalidLanguage, RequestTimeout
from app.request_context import RequestContext
from app.transcript import TokenUsage, Transcript
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import stream_samples
from tests.scripted_engine import ScriptedEngine, result, silence, spell, ts
from tests.transcripts import transcribe

HELLO = result(ts(0), *spell(" Hello."), ts(2))


def always(samples: object, floor: float) -> bool:
    return True


def never(samples: object, floor: float) -> bool:
    return False


def run(
    engine: ScriptedEngine, seconds: float, policy: Policy | None = None, spoken=always, **request: object
) -> Transcript:
    return transcribe(
        engine,
        silence(seconds),
        TranscriptionRequest(**request),
        replace(policy or Policy(), has_speech=spoken),
        RequestContext.of(60),
    )


def by_seek(answers: dict[int, object]) -> ScriptedEngine:
    return ScriptedEngine(lambda window, options: answers[window.seek])


def test_one_window_becomes_one_segment() -> None:
    transcript = run(by_seek({0: HELLO}), 3.0)
    assert transcript.text == "Hello."
    assert transcript.language == "en"
    assert transcript.duration_seconds == 3.0
    [segment] = transcript.segments
    assert (segment.id, segment.seek, segment.start_seconds, segment.end_seconds) == (0, 0, 0.0, 2.0)
    assert segment.text == " Hello."


def test_an_unfinished_segment_is_read_again_from_its_start() -> None:
    first = result(ts(0), *spell(" One."), ts(4), ts(4), *spell(" Tw"))
    engine = by_seek({0: first, 400: result(ts(0), *spell(" Two."), ts(3))})
    transcript = run(engine, 30.0)
    assert [(seek, frames) for seek, frames, _ in engine.decoded] == [(0, 3000), (400, 2600)]
    assert transcript.text == "One. Two."
    assert transcript.segments[1].start_seconds == 4.0


def test_silence_by_the_model_moves_on_without_a_segment() -> None:
    quiet = result(*spell(" You"), no_speech_prob=0.9, avg_logprob=-2.0)
    engine = by_seek({0: quiet, 3000: HELLO})
    transcript = run(engine, 40.0)
    assert transcript.text == "Hello."
    assert transcript.segments[0].seek == 3000


def test_nobody_waits_for_the_rest_of_a_long_silence() -> None:
    heard: list[int] = []

    def has_speech(samples: object, floor: float) -> bool:
        heard.append(len(heard))
        return False

    context = RequestContext.of(60, lambda: len(heard) == 2)
    policy = Policy(has_speech=has_speech)
    with pytest.raises(ClientGone):
        list(stream_samples(by_seek({}), silence(300), TranscriptionRequest(language="en"), policy, context))
    assert len(heard) == 2


def test_windows_without_speech_are_not_decoded() -> None:
    engine = by_seek({})
    transcript = run(engine, 40.0, spoken=never)
    assert (transcript.text, transcript.segments, engine.decoded) == ("", (), [])
    assert transcript.duration_seconds == 40.0


@pytest.mark.parametrize("policy", [Policy(strict=True), Policy(speech_floor=0)])
def test_the_gate_can_be_switched_off(policy: Policy) -> None:
    engine = by_seek({0: HELLO})
    assert run(engine, 3.0, policy, spoken=never).text == "Hello."


def test_the_gate_hears_the_samples_of_its_window() -> None:
    heard = []

    def spoken(samples, floor: float) -> bool:
        heard.append((len(samples), floor))
        return False

    run(by_seek({}), 40.0, Policy(speech_floor=0.3), spoken=spoken)
    assert heard == [(480_000, 0.3), (160_000, 0.3)]


def test_previous_text_is_the_next_prompt() -> None:
    engine = by_seek({0: HELLO, 3000: HELLO})
    run(engine, 40.0)
    assert engine.decoded[0][2].prompt == ()
    assert engine.decoded[1][2].prompt == HELLO.tokens


def test_previous_text_is_dropped_on_request_and_after_a_hot_decode() -> None:
    hot = result(ts(0), *spell(" Hello."), ts(2), temperature=0.8)
    for answer, condition in ((HELLO, False), (hot, True)):
        engine = by_seek({0: answer, 3000: HELLO})
        run(engine, 40.0, condition_on_previous_text=condition)
        assert engine.decoded[1][2].prompt == ()


def test_the_prompt_is_the_first_windows_previous_text() -> None:
    engine = by_seek({0: HELLO, 3000: HELLO})
    transcript = run(engine, 40.0, prompt=" Names: Ann ")
    assert engine.decoded[0][2].prompt == spell(" Names: Ann")
    assert transcript.text == "Hello. Hello."


def test_the_prompt_is_carried_into_every_window() -> None:
    engine = by_seek({0: HELLO, 3000: HELLO})
    run(engine, 40.0, prompt="Ann", carry_initial_prompt=True, condition_on_previous_text=False)
    assert [options.prompt for _, _, options in engine.decoded] == [spell(" Ann")] * 2


def test_clips_are_decoded_alone() -> None:
    engine = ScriptedEngine(lambda window, options: HELLO)
    run(engine, 100.0, clip_seconds=(10.0, 12.0, 90.0, 1000.0))
    assert [(seek, frames) for seek, frames, _ in engine.decoded] == [(1000, 200), (9000, 1000)]


def test_a_sure_language_costs_no_second_pass() -> None:
    engine = by_seek({0: HELLO})
    run(engine, 3.0)
    assert engine.detected == [(0, 300)]


def test_an_unsure_language_is_detected_on_the_padded_audio() -> None:
    engine = by_seek({0: HELLO})
    engine.languages = {"en": 0.4, "de": 0.3, "fr": 0.3}
    run(engine, 3.0)
    assert engine.detected == [(0, 300), (0, 3000)]


def test_strict_detects_on_the_padded_audio_only() -> None:
    engine = by_seek({0: HELLO})
    run(engine, 3.0, Policy(strict=True))
    assert engine.detected == [(0, 3000)]


def test_a_given_language_is_not_detected() -> None:
    engine = by_seek({0: HELLO})
    assert run(engine, 3.0, language="de").language == "de"
    assert engine.detected == []
    assert engine.decoded[0][2].language == "de"


def test_a_language_the_checkpoint_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidLanguage, match="scripted was not trained"):
        run(by_seek({0: HELLO}), 3.0, language="yue")


def test_a_segment_without_text_or_duration_is_emptied() -> None:
    engine = by_seek({0: result(ts(1), *spell(" Hm."), ts(1), ts(1), *spell(" Yes."), ts(2))})
    transcript = run(engine, 5.0)
    assert [(segment.text, segment.tokens) for segment in transcript.segments] == [
        ("", ()),
        (" Yes.", (ts(1), *spell(" Yes."), ts(2))),
    ]
    assert transcript.text == "Yes."


def test_deltas_joined_are_the_text() -> None:
    engine = by_seek({0: HELLO, 3000: result(ts(0), *spell(" End. "), ts(1))})
    pieces = stream_samples(engine, silence(40), TranscriptionRequest(), Policy(), RequestContext.of(60))
    assert [delta.text for delta in pieces] == ["Hello.", " End.", ""]


def test_closing_the_stream_closes_the_recording() -> None:
    engine = ScriptedEngine(lambda window, options: HELLO)
    pieces = stream_samples(engine, silence(90), TranscriptionRequest(), Policy(), RequestContext.of(60))
    next(pieces)
    pieces.close()
    assert engine.recordings[0].closed
    assert len(engine.decoded) == 1


def test_an_engine_failure_reaches_the_caller_and_closes_the_recording() -> None:
    def fail(window: object, options: object) -> object:
        raise EngineFailure("The model failed on this request.")

    engine = ScriptedEngine(fail)
    with pytest.raises(EngineFailure):
        run(engine, 3.0)
    assert engine.recordings[0].closed


@pytest.mark.parametrize(
    ("context", "error"),
    [(RequestContext.of(-1), RequestTimeout), (RequestContext.of(60, lambda: True), ClientGone)],
)
def test_a_request_nobody_waits_for_submits_no_window(
    context: RequestContext, error: type[Exception]
) -> None:
    engine = by_seek({0: HELLO})
    with pytest.raises(error):
        transcribe(engine, silence(3), TranscriptionRequest(language="en"), Policy(), context)
    assert engine.decoded == []


def test_detection_is_restricted_to_the_languages_named() -> None:
    engine = by_seek({0: HELLO})
    engine.languages = {"en": 0.8, "de": 0.2}
    assert run(engine, 3.0, languages=("de",)).language == "de"
    with pytest.raises(InvalidLanguage):
        run(engine, 3.0, languages=("de", "fr"))


def test_usage_is_counted() -> None:
    usage = run(by_seek({0: HELLO}), 3.05, prompt="Ann").usage
    assert usage == TokenUsage(audio_tokens=31, prompt_tokens=len(" Ann"), output_tokens=len(" Hello."))


def test_each_text_token_has_its_log_probability() -> None:
    two = result(ts(0), *spell(" A"), ts(1), ts(1), *spell(" B"), ts(2), ts(2))
    segments = run(
        by_seek({0: two, 200: result(no_speech_prob=0.9, avg_logprob=-3)}), 3.0, logprobs=True
    ).segments
    found = [[(entry.text, entry.logprob) for entry in segment.logprobs] for segment in segments]
    assert found == [[(" ", -1.0), ("A", -2.0)], [(" ", -5.0), ("B", -6.0)]]
    assert run(by_seek({0: HELLO}), 3.0).segments[0].logprobs == ()
