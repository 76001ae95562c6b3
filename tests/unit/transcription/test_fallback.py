import pytest

from app.engines.interface import Window, WindowOptions
from app.request_context import RequestContext
from app.transcription.fallback import at_temperature, decode_with_fallback, is_silence, needs_fallback
from app.transcription.request import TranscriptionRequest
from tests.scripted_engine import ScriptedEngine, ScriptedRecording, result

SOUND = {"avg_logprob": -0.3, "compression_ratio": 1.2, "no_speech_prob": 0.1}


@pytest.mark.parametrize(
    ("changes", "request_changes", "expected"),
    [
        ({}, {}, False),
        ({"compression_ratio": 2.5}, {}, True),
        ({"compression_ratio": 2.5}, {"compression_ratio_threshold": None}, False),
        ({"avg_logprob": -1.1}, {}, True),
        ({"avg_logprob": -1.1}, {"logprob_threshold": None}, False),
        ({"avg_logprob": -1.1, "no_speech_prob": 0.7}, {}, False),
        ({"avg_logprob": -1.1, "no_speech_prob": 0.7}, {"no_speech_threshold": None}, True),
        ({"compression_ratio": 2.5, "no_speech_prob": 0.7}, {}, True),
        ({"compression_ratio": 2.5, "avg_logprob": -1.1, "no_speech_prob": 0.7}, {}, False),
    ],
)
def test_what_needs_another_temperature(changes: dict, request_changes: dict, expected: bool) -> None:
    answer = result(1, **{**SOUND, **changes})
    assert needs_fallback(answer, TranscriptionRequest(**request_changes)) is expected


@pytest.mark.parametrize(
    ("changes", "request_changes", "expected"),
    [
        ({}, {}, False),
        ({"no_speech_prob": 0.7}, {}, False),
        ({"no_speech_prob": 0.7, "avg_logprob": -1.1}, {}, True),
        ({"no_speech_prob": 0.7}, {"logprob_threshold": None}, True),
        ({"no_speech_prob": 0.7, "avg_logprob": -1.1}, {"no_speech_threshold": None}, False),
    ],
)
def test_what_is_skipped_as_silence(changes: dict, request_changes: dict, expected: bool) -> None:
    answer = result(1, **{**SOUND, **changes})
    assert is_silence(answer, TranscriptionRequest(**request_changes)) is expected


def test_beams_at_zero_and_samples_above() -> None:
    options = WindowOptions(beam_size=5, patience=2.0, best_of=3)
    cold, hot = at_temperature(options, 0.0), at_temperature(options, 0.4)
    assert (cold.beam_size, cold.patience, cold.best_of, cold.temperature) == (5, 2.0, None, 0.0)
    assert (hot.beam_size, hot.patience, hot.best_of, hot.temperature) == (None, None, 3, 0.4)


def test_temperatures_rise_until_a_result_is_sound() -> None:
    def answer(window: Window, options: WindowOptions) -> object:
        good = options.temperature >= 0.4
        return result(1, temperature=options.temperature, avg_logprob=-0.5 if good else -1.5)

    engine = ScriptedEngine(answer)
    window = Window(ScriptedRecording(300), 0, 300)
    context = RequestContext.of(60)
    found = decode_with_fallback(engine, window, WindowOptions(), TranscriptionRequest(), context)
    assert found.temperature == 0.4
    assert context.cost.totals().fallbacks == 2
    assert [options.temperature for _, _, options in engine.decoded] == [0.0, 0.2, 0.4]


def test_the_last_temperature_stands_when_none_is_sound() -> None:
    engine = ScriptedEngine(
        lambda window, options: result(1, avg_logprob=-3, temperature=options.temperature)
    )
    window = Window(ScriptedRecording(300), 0, 300)
    request = TranscriptionRequest(temperatures=(0.0, 0.5))
    found = decode_with_fallback(engine, window, WindowOptions(), request, RequestContext.of(60))
    assert found.temperature == 0.5
