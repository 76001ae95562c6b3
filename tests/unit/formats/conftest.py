"""One small transcript, and OpenAI's response schemas to hold the bodies against."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator

from app.transcript import Segment, Transcript, Word

# A busy machine is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

SPEC = Path(__file__).parents[2] / "data" / "openai_spec"


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.fixture(scope="session")
def read_as() -> Callable[[str, str], dict[str, Any]]:
    """Parse a body as strictly as a browser does and hold it against a schema of OpenAI's."""

    def read(schema_name: str, body: str) -> dict[str, Any]:
        schema = json.loads((SPEC / f"{schema_name}.json").read_text(encoding="utf-8"))
        parsed = json.loads(body, parse_constant=_refuse_constant)
        Draft202012Validator(schema).validate(parsed)
        return parsed

    return read


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
    )


@pytest.fixture(scope="session")
def talk() -> Transcript:
    first = _segment(0, (Word(" Good", 0.0, 0.5, 0.9), Word(" morning,", 0.5, 1.25, 0.8)))
    second = _segment(
        1, (Word(" it's", 1.5, 1.75, 0.7), Word(" nine", 1.75, 2.0, 0.9), Word(" -", 2.0, 2.0, 0.1))
    )
    text = first.text + second.text
    return Transcript("transcribe", "en", 2.25, text, (first, second))
