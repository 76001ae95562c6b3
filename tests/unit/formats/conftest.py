"""One small transcript, and OpenAI's response schemas to hold the bodies against."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from app.transcript import Segment, Transcript, Word
from tests import openai_spec

# A busy machine is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def read_as() -> Callable[[str, str], dict[str, Any]]:
    """Parse a body as strictly as a browser does and hold it against a schema of OpenAI's."""
    return openai_spec.read_as


def _segment(number: int, words: tuple[Word, ...]) -> Segment:
    return Segment(
        id=number,
        seek=0,
        start_seconds=words[0].start_seconds,
        end_seconds=words[-1].end_seconds,
        text="".join(word.text for word in words),
        tokens=(50364, 400 + number, 50514),
        temperature=0.0,
        avg_logprob=-0.25,
        compression_ratio=0.9,
        no_speech_prob=0.01,
        words=words,
        language="en",
    )


@pytest.fixture(scope="session")
def talk() -> Transcript:
    first = _segment(0, (Word(" Good", 0.0, 0.5, 0.9), Word(" morning,", 0.5, 1.25, 0.8)))
    second = _segment(
        1, (Word(" it's", 1.5, 1.75, 0.7), Word(" nine", 1.75, 2.0, 0.9), Word(" -", 2.0, 2.0, 0.1))
    )
    text = first.text + second.text
    return Transcript("transcribe", "en", 2.25, text, (first, second))
