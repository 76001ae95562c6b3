"""The description of the API in OpenAPI 3.1, made of the schemas that requests are checked with.

In `app/api/schemas`, `openapi.json` has the URLs, the errors and the answers that only this server gives,
`answers` has OpenAI's, and `descriptions.json` says what a request's fields mean.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator

from app.api.schemas import REQUESTS, Schema, read
from app.version import VERSION

_ANSWERS = Path(__file__).with_name("schemas") / "answers"
_OPTIONS = "WhisperOptions"
"""Fields that several requests have."""


def document(*, keys_required: bool) -> Schema:
    """The whole document. Unless `keys_required`, a key may be left out."""
    whole = read("openapi")
    whole["info"]["version"] = VERSION
    if not keys_required:
        whole["security"].append({})
    schemas = whole["components"]["schemas"]
    descriptions = read("descriptions")
    schemas |= dict(_request(validator, descriptions) for validator in REQUESTS)
    schemas |= dict(_component(name, read(f"answers/{name}")) for name in answer_names())
    for form in _forms(whole["paths"]):
        form["schema"] = _merged(form["schema"], schemas)
    return whole


def answer_names() -> list[str]:
    """The names of the schemas of OpenAI's answers."""
    return sorted(path.stem for path in _ANSWERS.glob("*.json"))


def _request(validator: Draft202012Validator, descriptions: Schema) -> tuple[str, Schema]:
    """The name and the schema of what a validator checks, its fields explained."""
    schema = cast(Schema, validator.schema)
    name = schema["title"]
    known = descriptions[_OPTIONS] | descriptions.get(name, {})
    properties = {
        field: entry | ({"description": known[field]} if field in known else {})
        for field, entry in schema["properties"].items()
    }
    return _component(name, schema | {"properties": properties})


def _forms(paths: Schema) -> Iterator[Schema]:
    for operations in paths.values():
        for operation in operations.values():
            content = operation.get("requestBody", {"content": {}})["content"]
            if "multipart/form-data" in content:
                yield content["multipart/form-data"]


def _merged(form: Schema, schemas: Schema) -> Schema:
    """One object with the fields of all parts: viewers show it in its order, and `allOf` in none."""
    merged: Schema = {"type": "object", "required": [], "properties": {}}
    for reference in (part["$ref"] for part in form["allOf"]):
        part = schemas[reference.rpartition("/")[2]]
        merged["required"] += part.get("required", [])
        merged["properties"] |= {
            field: {"$ref": f"{reference}/properties/{field}"} for field in part["properties"]
        }
        if "dependentRequired" in part:
            merged["dependentRequired"] = part["dependentRequired"]
    return merged


def _component(name: str, schema: Schema) -> tuple[str, Schema]:
    """The schema as a part of the document, whose `$defs` are found from the document's root."""
    known = {key: value for key, value in schema.items() if key != "$schema"}
    return name, cast(Schema, _rebased(known, f"#/components/schemas/{name}/"))


def _rebased(node: Any, base: str) -> Any:
    if isinstance(node, list):
        return [_rebased(child, base) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: f"{base}{value.removeprefix('#/')}" if key == "$ref" else _rebased(value, base)
        for key, value in node.items()
    }
