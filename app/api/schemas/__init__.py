"""JSON Schemas that mirror the OpenAI specification, each compiled once."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]


def _read(name: str) -> Schema:
    schema: Schema = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    return schema


def _compiled(schema: Schema) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _with_whisper_options(schema: Schema) -> Schema:
    options = _read("whisper_options")
    properties = schema["properties"] | options["properties"]
    return schema | {"properties": properties, "dependentRequired": options["dependentRequired"]}


INPUT_AUDIO = _compiled(_read("input_audio"))
TRANSCRIPTION = _compiled(_with_whisper_options(_read("transcription")))
TRANSLATION = _compiled(_with_whisper_options(_read("translation")))
CHAT_COMPLETION = _compiled(_read("chat_completion"))
SPEECH = _compiled(_read("speech"))
