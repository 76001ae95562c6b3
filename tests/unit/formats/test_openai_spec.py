"""The response schemas that bodies are tested against: sound, closed, and at one with OpenAI's SDK."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from openai.types import CompletionUsage, Model
from openai.types.audio import (
    TranscriptionDiarized,
    TranscriptionDiarizedSegment,
    TranscriptionSegment,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    TranscriptionWord,
    Translation,
    TranslationVerbose,
)
from openai.types.audio.transcription import Transcription, UsageDuration, UsageTokens
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from pydantic import BaseModel

SPEC = Path(__file__).parents[2] / "data" / "openai_spec"
NAMES = sorted(path.stem for path in SPEC.glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    return json.loads((SPEC / f"{name}.json").read_text(encoding="utf-8"))


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that lists properties."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(node.get("properties"), dict):
        yield node
    for child in children:
        yield from objects(child)


def test_every_answer_has_a_schema() -> None:
    assert NAMES == [
        "chat_completion",
        "chat_completion_chunk",
        "error",
        "model",
        "model_list",
        "transcription_diarized_json",
        "transcription_json",
        "transcription_stream_event",
        "transcription_verbose_json",
        "translation_json",
        "translation_verbose_json",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_is_a_sound_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("name", NAMES)
def test_refuses_stray_keys_everywhere(name: str) -> None:
    parts = list(objects(schema(name)))
    assert parts
    assert all(part["additionalProperties"] is False for part in parts)


def part(name: str, *path: str | int) -> dict[str, Any]:
    found: Any = schema(name)
    for step in path:
        found = found[step]
    return found


CHOICE = ("properties", "choices", "items", "properties")
ALIKE: list[tuple[dict[str, Any], type[BaseModel], set[str]]] = [
    (part("transcription_json"), Transcription, set()),
    (part("transcription_json", "$defs", "duration_usage"), UsageDuration, set()),
    (part("transcription_json", "$defs", "token_usage"), UsageTokens, set()),
    (part("transcription_verbose_json"), TranscriptionVerbose, {"task"}),
    (part("transcription_verbose_json", "$defs", "segment"), TranscriptionSegment, set()),
    (part("transcription_verbose_json", "$defs", "word"), TranscriptionWord, set()),
    (part("transcription_diarized_json"), TranscriptionDiarized, set()),
    (part("transcription_diarized_json", "$defs", "speaker_segment"), TranscriptionDiarizedSegment, set()),
    (part("transcription_stream_event", "oneOf", 0), TranscriptionTextDeltaEvent, set()),
    (part("transcription_stream_event", "$defs", "speaker_segment"), TranscriptionTextSegmentEvent, set()),
    (part("transcription_stream_event", "oneOf", 2), TranscriptionTextDoneEvent, set()),
    (part("translation_json"), Translation, {"usage"}),
    (part("translation_verbose_json"), TranslationVerbose, {"task", "usage"}),
    (part("model"), Model, set()),
    (part("chat_completion"), ChatCompletion, set()),
    (part("chat_completion", *CHOICE, "message"), ChatCompletionMessage, set()),
    (part("chat_completion", "$defs", "completion_usage"), CompletionUsage, set()),
    (part("chat_completion_chunk"), ChatCompletionChunk, set()),
    (part("chat_completion_chunk", *CHOICE, "delta"), ChoiceDelta, set()),
]


@pytest.mark.parametrize(("found", "model", "live_only"), ALIKE, ids=[row[1].__name__ for row in ALIKE])
def test_fields_are_those_of_the_sdk(
    found: dict[str, Any], model: type[BaseModel], live_only: set[str]
) -> None:
    assert set(found["properties"]) - live_only <= set(model.model_fields)
    needed = {name for name, entry in model.model_fields.items() if entry.is_required()}
    assert needed <= set(found["required"])


SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 1.0,
    "text": " Yes.",
    "tokens": [1],
    "temperature": 0.0,
    "avg_logprob": -0.1,
    "compression_ratio": 0.8,
    "no_speech_prob": 0.0,
}
VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 1.0,
    "text": "Yes.",
    "segments": [SEGMENT],
}
MODEL = {"id": "whisper-1", "object": "model", "created": 1, "owned_by": "openai"}
SPEAKER = {
    "type": "transcript.text.segment",
    "id": "seg_001",
    "start": 0,
    "end": 1,
    "text": "Yes.",
    "speaker": "A",
}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
TOKENS = {"type": "tokens", "input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
CHAT = {"id": "chatcmpl-1", "created": 1, "model": "gpt-audio"}
MESSAGE = {"role": "assistant", "content": "Yes.", "refusal": None, "annotations": []}
REPLY = {"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}
DELTA = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": None}

GOOD = [
    ("error", {"error": {"message": "No.", "type": "server_error", "param": None, "code": None}}),
    ("transcription_json", {"text": ""}),
    ("transcription_json", {"text": "Yes.", "usage": {"type": "duration", "seconds": 9}}),
    ("transcription_json", {"text": "Yes.", "usage": TOKENS}),
    ("transcription_verbose_json", VERBOSE),
    (
        "transcription_diarized_json",
        {"task": "transcribe", "duration": 1.0, "text": "", "segments": [SPEAKER]},
    ),
    ("transcription_stream_event", {"type": "transcript.text.delta", "delta": " Yes."}),
    ("transcription_stream_event", {"type": "transcript.text.done", "text": "Yes.", "usage": TOKENS}),
    ("transcription_stream_event", SPEAKER),
    ("translation_json", {"text": "Yes."}),
    ("translation_verbose_json", VERBOSE | {"task": "translate"}),
    ("model", MODEL),
    ("model_list", {"object": "list", "data": [MODEL, MODEL | {"shutdown_date": "2027-02-26"}]}),
    ("chat_completion", CHAT | {"object": "chat.completion", "choices": [REPLY], "usage": USAGE}),
    ("chat_completion_chunk", CHAT | {"object": "chat.completion.chunk", "choices": [DELTA], "usage": None}),
    ("chat_completion_chunk", CHAT | {"object": "chat.completion.chunk", "choices": [], "usage": USAGE}),
]
BAD = [
    ("error", {"error": {"message": "No.", "type": "server_error", "param": None}}),
    ("error", {"error": {"message": "No.", "type": "server_error", "param": None, "code": 400}}),
    ("error", {"detail": "No."}),
    ("transcription_json", {}),
    ("transcription_json", {"text": "Yes.", "usage": {"type": "duration", "seconds": 9, "input_tokens": 1}}),
    ("transcription_verbose_json", VERBOSE | {"duration": "1.0"}),
    ("transcription_verbose_json", VERBOSE | {"language": "en"}),
    ("transcription_verbose_json", VERBOSE | {"language": "English"}),
    ("transcription_verbose_json", VERBOSE | {"words": None}),
    ("transcription_verbose_json", VERBOSE | {"usage": TOKENS}),
    ("transcription_verbose_json", VERBOSE | {"segments": [SEGMENT | {"words": []}]}),
    ("transcription_verbose_json", VERBOSE | {"segments": [SEGMENT | {"transient": False}]}),
    ("transcription_diarized_json", {"task": "transcribe", "duration": 1.0, "text": ""}),
    ("transcription_stream_event", {"type": "transcript.text.delta", "text": " Yes."}),
    (
        "transcription_stream_event",
        {"type": "transcript.text.done", "text": "", "usage": {"type": "duration"}},
    ),
    ("translation_json", {"text": "Yes.", "words": []}),
    ("translation_verbose_json", VERBOSE),
    ("translation_verbose_json", VERBOSE | {"task": "translate", "language": "german"}),
    ("model", MODEL | {"object": "models"}),
    ("model_list", {"data": [MODEL]}),
    ("chat_completion", CHAT | {"object": "chat.completion", "choices": [REPLY]}),
    ("chat_completion", CHAT | {"object": "chat.completion", "choices": [], "usage": USAGE}),
    ("chat_completion_chunk", CHAT | {"object": "chat.completion", "choices": [DELTA]}),
]


@pytest.mark.parametrize(("name", "body"), GOOD)
def test_takes_what_openai_sends(name: str, body: dict[str, Any]) -> None:
    assert Draft202012Validator(schema(name)).is_valid(body)


@pytest.mark.parametrize(("name", "body"), BAD)
def test_refuses_what_openai_does_not_send(name: str, body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(schema(name)).validate(body)
