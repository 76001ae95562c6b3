"""A transcript of ours beside the one of openai-whisper's `transcribe()`, asked in the same way."""

from dataclasses import fields
from typing import Any

import pytest
import whisper

from app.engines.interface import DecodingOptions, Engine
from app.request_context import RequestContext
from app.transcript import Segment, Transcript
from app.transcription.request import Policy, TranscriptionRequest
from app.waveform import Samples
from tests.transcripts import transcribe

STRICT = Policy(strict=True)
COLD = (0.0,)
"""openai-whisper samples from the global generator above temperature 0, so it can't be compared there."""

_RENAMED = {"clip_seconds": "clip_timestamps", "prompt": "initial_prompt"}
_LISTS = ("clip_timestamps", "suppress_tokens")


def ours(
    engine: Engine, samples: Samples, temperatures: tuple[float, ...] = COLD, **options: Any
) -> Transcript:
    """Our transcript. `options` are fields of TranscriptionRequest and DecodingOptions."""
    names = {field.name for field in fields(DecodingOptions)} & options.keys()
    decoding = DecodingOptions(**{name: options.pop(name) for name in names})
    request = TranscriptionRequest(temperatures=temperatures, decoding=decoding, **options)
    return transcribe(engine, samples, request, STRICT, RequestContext.of(600))


def theirs(
    model: Any, samples: Samples, temperatures: tuple[float, ...] = COLD, **options: Any
) -> dict[str, Any]:
    """openai-whisper's. `options` are those of `ours`, which are renamed for it."""
    given = {_RENAMED.get(name, name): value for name, value in options.items()}
    given |= {name: list(given[name]) for name in _LISTS if name in given}
    return whisper.transcribe(model, samples, temperature=temperatures, fp16=False, **given)


def times(segment: Segment) -> tuple[float, float]:
    return segment.start_seconds, segment.end_seconds


def assert_equal(found: Transcript, expected: dict[str, Any], word_seconds: float = 0.0) -> None:
    """Tokens, text and times are the same; probabilities may differ in the last digits.

    The times of words may be off by `word_seconds`.
    """
    assert found.text == expected["text"].strip()
    assert found.language == expected["language"]
    assert len(found.segments) == len(expected["segments"])
    for ours, theirs in zip(found.segments, expected["segments"], strict=True):
        assert (ours.id, ours.seek, ours.text) == (theirs["id"], theirs["seek"], theirs["text"])
        assert list(ours.tokens) == theirs["tokens"]
        assert times(ours) == pytest.approx((theirs["start"], theirs["end"]), abs=0)
        assert ours.temperature == theirs["temperature"]
        assert ours.compression_ratio == theirs["compression_ratio"]
        assert ours.avg_logprob == pytest.approx(theirs["avg_logprob"], abs=1e-4)
        assert ours.no_speech_prob == pytest.approx(theirs["no_speech_prob"], abs=1e-4)
        assert_words(ours, theirs.get("words", []), word_seconds)


def assert_words(segment: Segment, expected: list[dict[str, Any]], seconds: float) -> None:
    assert [word.text for word in segment.words] == [word["word"] for word in expected]
    for ours, theirs in zip(segment.words, expected, strict=True):
        assert ours.start_seconds == pytest.approx(theirs["start"], abs=seconds)
        assert ours.end_seconds == pytest.approx(theirs["end"], abs=seconds)
        assert ours.probability == pytest.approx(theirs["probability"], abs=1e-4)
