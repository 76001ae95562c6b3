from collections.abc import Callable
from dataclasses import replace

import pytest

from app.engines.interface import Window, WindowOptions, WindowResult
from app.request_context import RequestContext
from app.transcription.fallback import (
    Decoded,
    at_temperature,
    decode_with_fallback,
    is_silence,
    needs_fallback,
    runs_on,
)
from app.transcription.request import TranscriptionRequest
from tests.scripted_engine import TIMESTAMP_BEGIN, ScriptedEngine, ScriptedRecording, result, ts

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
    assert found.result.temperature == 0.4
    assert found.window is window
    assert context.cost.totals().fallbacks == 2
    assert [options.temperature for _, _, options in engine.decoded] == [0.0, 0.2, 0.4]


def test_the_last_temperature_stands_when_none_is_sound() -> None:
    engine = ScriptedEngine(
        lambda window, options: result(1, avg_logprob=-3, temperature=options.temperature)
    )
    window = Window(ScriptedRecording(300), 0, 300)
    request = TranscriptionRequest(temperatures=(0.0, 0.5))
    found = decode_with_fallback(engine, window, WindowOptions(), request, RequestContext.of(60))
    assert found.result.temperature == 0.5


Tried = list[tuple[int, float]]


def in_short_context(
    answer: Callable[[Window], WindowResult],
) -> tuple[Decoded, Tried, int]:
    """What 3 s are decoded to, the positions and temperatures tried, and the fallbacks counted."""
    tried: Tried = []

    def noted(window: Window, options: WindowOptions) -> WindowResult:
        tried.append((window.positions, options.temperature))
        return replace(answer(window), temperature=options.temperature)

    context = RequestContext.of(60)
    window = Window(ScriptedRecording(300), 0, 300, positions=384)
    request = TranscriptionRequest(temperatures=(0.0, 0.5))
    found = decode_with_fallback(ScriptedEngine(noted), window, WindowOptions(), request, context)
    return found, tried, context.cost.totals().fallbacks


REJECTED = [
    result(1, compression_ratio=2.5),
    result(1, avg_logprob=-1.1),
    result(1, avg_logprob=-1.1, no_speech_prob=0.7),
]


def test_a_sound_result_of_a_short_context_stands() -> None:
    found, tried, fallbacks = in_short_context(lambda window: result(1))
    assert found.window.positions == 384
    assert (tried, fallbacks) == ([(384, 0.0)], 0)


@pytest.mark.parametrize("rejected", REJECTED, ids=["repetitive", "improbable", "silent"])
def test_one_that_is_rejected_is_encoded_in_full_before_any_temperature_rises(rejected: WindowResult) -> None:
    found, tried, fallbacks = in_short_context(lambda window: rejected if window.is_short else result(1))
    assert (found.window.positions, found.result.temperature) == (1500, 0.0)
    assert (found.window.seek, found.window.frames) == (0, 300)
    assert (tried, fallbacks) == ([(384, 0.0), (1500, 0.0)], 0)


ONE, OTHER = (ord("a"), ord("b")), (ord("a"), ord("c"))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ((), False),
        (ONE, False),
        ((ts(0), *ONE, ts(3.5)), False),
        ((ts(0), *ONE, ts(1.5), ts(1.5), *OTHER, ts(4)), False),
        ((ts(0), *ONE, ts(1.5), ts(1.5), *OTHER, ts(2), ts(2), *ONE, ts(2.5)), False),
        ((ts(0), *ONE, ts(1), ts(1), *ONE, ts(2)), True),
        ((ts(0), *ONE, ts(2.9), ts(3), *OTHER, ts(4)), True),
        ((ts(0), *ONE, ts(2), ts(2), *OTHER, ts(5), ts(5), *ONE), True),
    ],
)
def test_what_goes_on_after_the_audio(tokens: tuple[int, ...], expected: bool) -> None:
    assert runs_on(tokens, TIMESTAMP_BEGIN, frames=300) is expected


def test_one_that_runs_on_is_encoded_in_full_too() -> None:
    twice = result(ts(0), *ONE, ts(1), ts(1), *ONE, ts(2))
    found, tried, fallbacks = in_short_context(lambda window: twice)
    assert found.result.tokens == twice.tokens, "in full it stands"
    assert (tried, fallbacks) == ([(384, 0.0), (1500, 0.0)], 0)


def test_the_temperature_rises_in_full_alone() -> None:
    found, tried, fallbacks = in_short_context(lambda window: REJECTED[0])
    assert (found.window.positions, found.result.temperature) == (1500, 0.5)
    assert (tried, fallbacks) == ([(384, 0.0), (1500, 0.0), (1500, 0.5)], 1)
