"""JSON Schemas that mirror the OpenAI specification, each compiled once."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator


def _compiled(name: str) -> Draft202012Validator:
    schema = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


TRANSCRIPTION = _compiled("transcription")
