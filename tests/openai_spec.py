"""Answers held against the schemas of OpenAI's responses in tests/data/openai_spec."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SPEC = Path(__file__).parent / "data" / "openai_spec"


OWN_FIELDS = {"loaded": bool, "size": int}
"""What this server says of a model, and OpenAI doesn't."""


def conforming(schema_name: str, answer: Any) -> Any:
    """The parsed answer, once it has been held against a schema."""
    schema = json.loads((SPEC / f"{schema_name}.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(_openais(schema_name, answer))
    return answer


def _openais(schema_name: str, answer: Any) -> Any:
    """The answer without OWN_FIELDS."""
    if schema_name == "model_list":
        return answer | {"data": [_openais("model", model) for model in answer["data"]]}
    if schema_name != "model":
        return answer
    assert all(isinstance(answer[name], kind) for name, kind in OWN_FIELDS.items() if name in answer)
    return {name: value for name, value in answer.items() if name not in OWN_FIELDS}


def read_as(schema_name: str, body: str | bytes) -> Any:
    """Parse a body as strictly as a browser does and hold it against a schema."""
    return conforming(schema_name, strictly_parsed(body))


def check_answer(path: str, status: int, content_type: str, body: bytes) -> None:
    """Hold whatever a URL under /v1 answered against the schema that it must follow.

    Errors must be JSON; of successes those are checked that say they are.
    """
    if status >= 400:
        assert content_type == "application/json", body
        read_as("error", body)
    elif content_type == "application/json":
        answer = strictly_parsed(body)
        conforming(schema_name(path, answer), answer)


def check_response(response: Any, **_options: Any) -> None:
    """A hook for python-requests: check every answer."""
    kind = response.headers.get("Content-Type", "")
    if not kind.startswith("text/event-stream"):
        check_answer(
            response.request.path_url.partition("?")[0], response.status_code, kind, response.content
        )


def strictly_parsed(body: str | bytes) -> Any:
    """JSON without Python's NaN and infinities."""
    return json.loads(body, parse_constant=_refuse_constant)


def schema_name(path: str, answer: dict[str, Any]) -> str:
    """The schema of a successful answer; the fields tell a transcript's `response_format`."""
    if path.startswith("/v1/models"):
        return "model_list" if path == "/v1/models" else "model"
    if path == "/v1/chat/completions":
        return "chat_completion"
    task = {"transcriptions": "transcription", "translations": "translation"}[path.rpartition("/")[2]]
    if "language" in answer:
        return f"{task}_verbose_json"
    return f"{task}_diarized_json" if "task" in answer else f"{task}_json"


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
