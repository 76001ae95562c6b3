"""openapi.json: valid, complete, and the same schemas that requests and answers are checked with."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from referencing.exceptions import Unresolvable

from app.api.openapi import answer_names, document
from app.api.schemas import REQUESTS, read
from app.errors import ClientGone, SpeechError
from app.version import VERSION
from app.waveform.encode import ENCODINGS

SPEC = Path(__file__).parents[2] / "data" / "openai_spec"
DOCUMENT = document(keys_required=True)
SCHEMAS = DOCUMENT["components"]["schemas"]
NOT_THE_API = {"docs_page", "web"}
"""Blueprints of pages for people, which the document says nothing of."""
OPERATIONS = [
    (path, method, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
IDS = [f"{method} {path}" for path, method, _ in OPERATIONS]
each_operation = pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=IDS)

ADDED = {
    "model": ("properties",),
    "model_list": ("$defs", "model", "properties"),
}
"""Where this server's answers have fields that OpenAI's have not."""
OWN_FIELDS = ("loaded", "size", "notice")


def nodes(node: Any) -> Iterator[Any]:
    yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from nodes(child)


def references() -> list[str]:
    found = [node["$ref"] for node in nodes(DOCUMENT) if isinstance(node, dict) and "$ref" in node]
    assert found
    return found


def found(reference: str) -> Any:
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def alone(name: str) -> dict[str, Any]:
    """A part of the document as a schema of its own, as it is in its file."""
    text = json.dumps(SCHEMAS[name]).replace(f"#/components/schemas/{name}/", "#/")
    schema: dict[str, Any] = json.loads(text)
    return schema


def undescribed(schema: dict[str, Any]) -> dict[str, Any]:
    """Without what explains the fields of a request to people."""
    fields = {
        name: {key: value for key, value in entry.items() if key != "description"}
        for name, entry in schema["properties"].items()
    }
    return {key: value for key, value in schema.items() if key != "$schema"} | {"properties": fields}


@pytest.mark.parametrize("keys_required", [True, False])
def test_it_is_valid(keys_required: bool) -> None:
    OpenAPIV31SpecValidator(document(keys_required=keys_required)).validate()


def test_the_validator_sees_what_is_wrong() -> None:
    unnamed, dangling = deepcopy(DOCUMENT), deepcopy(DOCUMENT)
    del unnamed["paths"]["/v1/models/{model}"]["get"]["parameters"]
    dangling["paths"]["/health"]["get"]["responses"]["200"] = {"$ref": "#/components/responses/None"}
    for wrong in (unnamed, dangling):
        with pytest.raises((OpenAPIValidationError, Unresolvable)):
            OpenAPIV31SpecValidator(wrong).validate()


def test_what_is_referred_to_exists() -> None:
    assert [reference for reference in references() if not found(reference)] == []


def test_nothing_in_it_is_of_another_host() -> None:
    assert DOCUMENT["info"]["version"] == VERSION
    assert [server["url"] for server in DOCUMENT["servers"]] == ["."]
    assert [node for node in nodes(DOCUMENT) if isinstance(node, str) and "://" in node] == []


@pytest.mark.parametrize("validator", REQUESTS, ids=lambda validator: validator.schema["title"])
def test_requests_are_what_is_checked(validator: Draft202012Validator) -> None:
    assert undescribed(alone(validator.schema["title"])) == undescribed(validator.schema)


@pytest.mark.parametrize("validator", REQUESTS, ids=lambda validator: validator.schema["title"])
def test_every_field_is_explained(validator: Draft202012Validator) -> None:
    name = validator.schema["title"]
    if name == "AsrRequest":  # its fields are parameters
        parameters = DOCUMENT["paths"]["/asr"]["post"]["parameters"]
        assert all(parameter["description"] for parameter in parameters)
        assert [parameter["name"] for parameter in parameters] == list(SCHEMAS[name]["properties"])
    else:
        assert [
            field for field, entry in SCHEMAS[name]["properties"].items() if "description" not in entry
        ] == []


def test_nothing_else_is_explained() -> None:
    fields = {name: set(schema.get("properties", ())) for name, schema in SCHEMAS.items()}
    fields["WhisperOptions"] = set(read("whisper_options")["properties"])
    for name, descriptions in read("descriptions").items():
        assert set(descriptions) <= fields[name]


def test_answers_are_openais() -> None:
    assert answer_names() == sorted(path.stem for path in SPEC.glob("*.json"))


@pytest.mark.parametrize("name", answer_names())
def test_answers_are_openais_and_what_is_added(name: str) -> None:
    ours, theirs = alone(name), json.loads((SPEC / f"{name}.json").read_text(encoding="utf-8"))
    if name in ADDED:
        part = ours
        for step in ADDED[name]:
            part = part[step]
        assert all(part.pop(added)["description"] for added in OWN_FIELDS)
    del theirs["$schema"]
    assert ours == theirs


def test_every_route_is_in_it(app: Flask) -> None:
    served = {
        (re.sub("<[^>]*>", "{}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS") and rule.endpoint.partition(".")[0] not in NOT_THE_API
    }
    shown = {(re.sub("{[^}]*}", "{}", path), method.upper()) for path, method, _ in OPERATIONS}
    assert ("/health", "GET") in served
    assert shown == served


def test_names_of_operations_are_unique() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


@each_operation
def test_errors_of_an_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    shown = set(operation["responses"])
    expected = set() if operation.get("security") == [] else {"401", "500"}
    if "requestBody" in operation:
        expected |= {"400", "408", "413", "503"}
    assert expected <= shown
    assert {"200", "101"} & shown
    assert all(operation[key] for key in ("summary", "tags"))


@each_operation
def test_errors_have_the_endpoints_own_shape(path: str, method: str, operation: dict[str, Any]) -> None:
    shapes = {"/inference": "inference_error", "/asr": "asr_error", "/detect-language": "asr_error"}
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            schema = found(answer["$ref"])["content"]["application/json"]["schema"]["$ref"]
            assert schema == f"#/components/schemas/{shapes.get(path, 'error')}"


def errors(kind: type[SpeechError]) -> Iterator[type[SpeechError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from errors(child)


def test_every_error_is_in_it() -> None:
    sent = {str(kind.status) for kind in errors(SpeechError) if kind is not ClientGone}
    shown = {status for _, _, operation in OPERATIONS for status in operation["responses"]}
    assert sent <= shown


def test_a_busy_server_says_when_to_come_back() -> None:
    assert "Retry-After" in DOCUMENT["components"]["responses"]["Error503"]["headers"]


@pytest.mark.parametrize("keys_required", [True, False])
def test_a_key_is_asked_for_where_one_is_needed(keys_required: bool) -> None:
    whole = document(keys_required=keys_required)
    ways = {name for entry in whole["security"] for name in entry}
    assert ways == set(whole["components"]["securitySchemes"]) == {"bearer", "azure"}
    assert ({} in whole["security"]) is not keys_required


def test_probes_and_limits_need_no_key() -> None:
    free = [path for path, _, operation in OPERATIONS if operation.get("security") == []]
    assert free == ["/health", "/ready", "/limits"]


@pytest.mark.parametrize(
    ("path", "file", "request_name"),
    [
        ("/v1/audio/transcriptions", "file", "CreateTranscriptionRequest"),
        ("/v1/audio/translations", "file", "CreateTranslationRequest"),
        ("/inference", "file", "InferenceRequest"),
        ("/asr", "audio_file", None),
        ("/detect-language", "audio_file", None),
    ],
)
def test_a_form_has_the_file_and_all_fields(path: str, file: str, request_name: str | None) -> None:
    form = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    fields = {name: found(entry["$ref"]) for name, entry in form["properties"].items()}
    assert next(iter(fields)) == file
    assert fields.pop(file)["format"] == "binary"
    known = SCHEMAS[request_name] if request_name else {"properties": {}}
    assert fields == known["properties"]
    assert form["required"] == [file, *known.get("required", [])]
    assert form.get("dependentRequired") == known.get("dependentRequired")


JSON_BODIES = {
    path: operation["requestBody"]["content"]["application/json"]
    for path, _, operation in OPERATIONS
    if "application/json" in operation.get("requestBody", {"content": {}})["content"]
}


@pytest.mark.parametrize("path", JSON_BODIES)
def test_examples_are_right(path: str) -> None:
    body = JSON_BODIES[path]
    names = {part["$ref"].rpartition("/")[2] for part in body["schema"].get("allOf", [body["schema"]])}
    checked = [validator for validator in REQUESTS if validator.schema["title"] in names]
    assert len(checked) == len(names) > 0
    assert [violation for validator in checked for violation in validator.iter_errors(body["example"])] == []


@pytest.mark.parametrize(
    "path", ["/v1/audio/transcriptions", "/v1/audio/speech", "/v1/chat/completions", "/v1/responses"]
)
def test_streams_have_a_schema_for_each_event(path: str) -> None:
    content = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]
    assert content["text/event-stream"]["schema"]


def test_events_of_verbose_json_have_openais_segments() -> None:
    theirs = SCHEMAS["transcription_verbose_json"]["$defs"]["segment"]["properties"]
    ours = {name: found(entry["$ref"]) for name, entry in segment_with_words().items()}
    assert ours == theirs


def segment_with_words() -> dict[str, Any]:
    properties = SCHEMAS["segment_with_words"]["properties"]
    return {name: entry for name, entry in properties.items() if name != "words"}


def test_speech_comes_in_every_encoding() -> None:
    content = DOCUMENT["paths"]["/v1/audio/speech"]["post"]["responses"]["200"]["content"]
    assert {kind for kind in content if kind.startswith("audio/")} == {
        encoding.mimetype for encoding in ENCODINGS.values()
    }
