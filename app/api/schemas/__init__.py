"""JSON Schemas that mirror the OpenAI specification, each compiled once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

Schema = dict[str, Any]
Violations = Iterator[ValidationError]

_FOLDER = Path(__file__).parent


def read(name: str) -> Schema:
    """The JSON file with this name, below this folder."""
    schema: Schema = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return schema


def _type(
    validator: Draft202012Validator, types: str | list[str], instance: Any, schema: Schema
) -> Violations:
    names = [types] if isinstance(types, str) else types
    if not any(validator.is_type(instance, name) for name in names):
        yield ValidationError("type")


def _enum(validator: Draft202012Validator, values: list[str], instance: Any, schema: Schema) -> Violations:
    if instance not in values:
        yield ValidationError("enum")


def _max_length(validator: Draft202012Validator, limit: int, instance: Any, schema: Schema) -> Violations:
    if isinstance(instance, str) and len(instance) > limit:
        yield ValidationError("maxLength")


def _max_items(validator: Draft202012Validator, limit: int, instance: Any, schema: Schema) -> Violations:
    if isinstance(instance, list) and len(instance) > limit:
        yield ValidationError("maxItems")


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"type": _type, "enum": _enum, "maxLength": _max_length, "maxItems": _max_items}
)
"""The same checks, but their messages don't quote the value, which may have megabytes. They are not used."""


def compiled(schema: Schema) -> Draft202012Validator:
    """A validator whose violations `app.api.violations` can turn into errors."""
    _Validator.check_schema(schema)
    compiled: Draft202012Validator = _Validator(schema)
    return compiled


def _with_whisper_options(schema: Schema) -> Schema:
    options = read("whisper_options")
    properties = schema["properties"] | options["properties"]
    return schema | {"properties": properties, "dependentRequired": options["dependentRequired"]}


def _with_session(schema: Schema) -> Schema:
    session = {key: value for key, value in read("realtime_session").items() if key != "$schema"}
    return schema | {"properties": schema["properties"] | {"session": session}}


INPUT_AUDIO = compiled(read("input_audio"))
TRANSCRIPTION = compiled(_with_whisper_options(read("transcription")))
TRANSLATION = compiled(_with_whisper_options(read("translation")))
CHAT_COMPLETION = compiled(read("chat_completion"))
INFERENCE = compiled(read("inference"))
ASR = compiled(read("asr"))
RESPONSE = compiled(read("response"))
SPEECH = compiled(read("speech"))
CLIENT_SECRET = compiled(_with_session(read("client_secret")))
REALTIME_EVENT = compiled(_with_session(read("realtime_event")))

REQUESTS = (
    INPUT_AUDIO,
    TRANSCRIPTION,
    TRANSLATION,
    CHAT_COMPLETION,
    INFERENCE,
    ASR,
    RESPONSE,
    SPEECH,
    CLIENT_SECRET,
)
"""All of them: what the documentation shows is what is checked."""
