"""Our transcription against `whisper.transcribe()`: same weights, audio and options."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from app.engines.interface import Engine
from app.request_context import RequestContext
from app.transcript import Transcript
from app.transcription.request import Policy, TranscriptionRequest
from app.waveform.voice_activity import VoiceActivity
from tests.oracle import comparison
from tests.oracle.comparison import COLD, assert_equal, times
from tests.oracle.recordings import RECORDINGS, SPOKEN
from tests.transcripts import transcribe

CHANGES_OF_PATH: dict[str, dict[str, Any]] = {
    "language given": {"language": "en"},
    "translate": {"task": "translate"},
    "prompt": {"prompt": "The teacher opens the door."},
    "prompt in every window": {"prompt": "The teacher opens the door.", "carry_initial_prompt": True},
    "no previous text": {"condition_on_previous_text": False},
    "words": {"word_timestamps": True},
    "words, hallucinations dropped": {"word_timestamps": True, "hallucination_silence_threshold": 1.0},
    "beams": {"beam_size": 3, "patience": 1.5, "length_penalty": 0.8},
    "clips": {"clip_seconds": (1.0, 2.5, 3.0, 4.5)},
    "an open clip": {"clip_seconds": (2.5,)},
    "everything suppressed but text": {"suppress_tokens": (), "suppress_blank": False},
    "chosen tokens suppressed": {"suppress_tokens": (-1, 440, 3310)},
    "no thresholds": {
        "compression_ratio_threshold": None,
        "logprob_threshold": None,
        "no_speech_threshold": None,
    },
}
LONG = ("several minutes", "held tones")
PATHS_OVER = ["three utterances", "a long pause between sentences"]
PATHS_OVER_SEVERAL_WINDOWS = [
    "prompt in every window",
    "words, hallucinations dropped",
    "beams",
    "no previous text",
]


def marked(names: Iterable[str]) -> list[Any]:
    """Recordings for parametrize, slow the long ones."""
    return [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in names]


@pytest.mark.parametrize("name", marked(RECORDINGS))
def test_every_recording(oracle: Any, engine: Engine, name: str) -> None:
    assert_equal(ours(engine, name), theirs(oracle, name))


@pytest.mark.parametrize("name", [PATHS_OVER[0], pytest.param(PATHS_OVER[1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("change", CHANGES_OF_PATH)
def test_every_path(oracle: Any, engine: Engine, name: str, change: str) -> None:
    options = CHANGES_OF_PATH[change]
    assert_equal(ours(engine, name, **options), theirs(oracle, name, **options))


@pytest.mark.slow
@pytest.mark.parametrize("change", PATHS_OVER_SEVERAL_WINDOWS)
def test_paths_that_differ_from_the_second_window_on(oracle: Any, engine: Engine, change: str) -> None:
    options = CHANGES_OF_PATH[change]
    assert_equal(ours(engine, "a minute", **options), theirs(oracle, "a minute", **options))


@pytest.mark.parametrize("name", marked(SPOKEN))
def test_the_defaults_give_the_same_as_strict_wherever_there_is_speech(engine: Engine, name: str) -> None:
    default = transcribe(
        engine,
        RECORDINGS[name](),
        TranscriptionRequest(temperatures=COLD),
        Policy(has_speech=voice_activity().has_speech),
        RequestContext.of(600),
    )
    strict = ours(engine, name)
    assert (default.text, default.language) == (strict.text, strict.language)
    assert [times(s) for s in default.segments] == [times(s) for s in strict.segments]
    assert default.text


@cache
def voice_activity() -> VoiceActivity:
    return VoiceActivity()


def ours(engine: Engine, name: str, **options: Any) -> Transcript:
    return comparison.ours(engine, RECORDINGS[name](), **options)


@cache
def theirs(model: Any, name: str, **options: Any) -> dict[str, Any]:
    """What openai-whisper answers, asked once for all engines."""
    return comparison.theirs(model, RECORDINGS[name](), **options)
