"""What LiteLLM sends for `openai/<name>`, and its rules for reading the answer."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from openai import OpenAI
from pydantic import BaseModel, ConfigDict, TypeAdapter

from tests.functional.checked_clients import openai_client
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class DurationUsage(Strict):
    type: Literal["duration"]
    seconds: float


class InputTokenDetails(Strict):
    audio_tokens: int
    text_tokens: int


class TokenUsage(Strict):
    type: Literal["tokens"]
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: InputTokenDetails


USAGE: TypeAdapter[DurationUsage | TokenUsage] = TypeAdapter(DurationUsage | TokenUsage)


@pytest.fixture(scope="module")
def client(server: GunicornServer) -> Iterator[OpenAI]:
    with openai_client(server.url) as client:
        yield client


def keeps_json(model: str) -> bool:
    """The names for which LiteLLM leaves OpenAI's default format alone."""
    return "gpt-4o" in model or (model.startswith("gpt-") and model.endswith("transcribe"))


def transcribe(client: OpenAI, model: str, **options: Any) -> dict[str, Any]:
    """The answer as LiteLLM reads it: a dict, or a string that it wraps."""
    form = {} if keeps_json(model) else {"response_format": "verbose_json"}
    asked = {"model": model, "file": FLAGSHIP.open("rb"), **form, **options}
    with asked["file"]:
        raw = client.audio.transcriptions.with_raw_response.create(**asked).parse()
    return {"text": raw} if isinstance(raw, str) else raw.to_dict()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"language": "en", "prompt": "A proverb.", "temperature": 0},
        {"timestamp_granularities": ["word", "segment"]},
    ],
    ids=["bare", "options", "words"],
)
def test_whisper_is_asked_for_verbose_json(client: OpenAI, options: dict[str, Any]) -> None:
    answer = transcribe(client, "whisper-1", **options)
    assert (answer["text"], answer["language"], answer["task"]) == (FLAGSHIP_TEXT, "english", "transcribe")
    assert type(answer["duration"]) is float
    assert USAGE.validate_python(answer["usage"]) == DurationUsage(type="duration", seconds=3.0)
    assert len(answer.get("words", [])) in (0, 11)
    assert len(answer["segments"]) == 1


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-transcribe"])
def test_newer_names_keep_json(client: OpenAI, model: str) -> None:
    answer = transcribe(client, model, include=["logprobs"])
    assert answer["text"] == FLAGSHIP_TEXT
    usage = USAGE.validate_python(answer["usage"])
    assert isinstance(usage, TokenUsage)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_the_name_that_tells_speakers_apart_keeps_json(client: OpenAI) -> None:
    answer = transcribe(client, "gpt-4o-transcribe-diarize")
    assert answer["text"] == FLAGSHIP_TEXT
    assert isinstance(USAGE.validate_python(answer["usage"]), TokenUsage)


@pytest.mark.parametrize("response_format", ["text", "srt", "vtt"])
def test_strings_are_wrapped(client: OpenAI, response_format: str) -> None:
    assert FLAGSHIP_TEXT in transcribe(client, "whisper-1", response_format=response_format)["text"]
