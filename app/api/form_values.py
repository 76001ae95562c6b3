"""A multipart form's texts -> JSON values, according to the schema's types.

`name`, `name[]` and comma lists make arrays; `name[key]` and JSON text make objects; an empty text is
an absent field; `none` is null where null is allowed. A text that is not of its type stays a text, and
the schema refuses it. Fields that the schema doesn't name are left out. A field that is sent twice must
have the same value twice.
"""

from collections.abc import Callable
from math import inf, isfinite
from typing import Any

from werkzeug.datastructures import MultiDict

from app.api.violations import shown
from app.bounded_json import parse
from app.errors import InvalidParameter

Fields = dict[str, Any]

_ABSENT = object()
_LONGEST_OBJECT = 4_096
"""Characters of an object as JSON text; `chunking_strategy` has four short keys."""


def as_json(form: MultiDict[str, str], properties: dict[str, Fields]) -> Fields:
    """The form's fields that `properties` of a JSON Schema name. Raises InvalidParameter."""
    values = {name: _value(form, name, schema) for name, schema in properties.items()}
    return {name: value for name, value in values.items() if value is not _ABSENT}


def _value(form: MultiDict[str, str], name: str, schema: Fields) -> Any:
    texts = [text for text in form.getlist(name) + form.getlist(f"{name}[]") if text]
    if not texts:
        return _members(form, name, schema) or _ABSENT
    if "array" in _types(schema):
        return _array(texts, name, schema)
    if len(set(texts)) > 1:
        values = " and ".join(shown(text) for text in texts[:2])
        raise InvalidParameter(f"The parameter '{name}' was sent with two values: {values}.", param=name)
    return scalar(texts[0], schema)


def _members(form: MultiDict[str, str], name: str, schema: Fields) -> Fields:
    """An object that was sent as one field for each of its keys."""
    keys = schema.get("properties", {})
    members = [(key, text) for key in keys for text in form.getlist(f"{name}[{key}]")]
    return as_json(MultiDict(members), keys)


def _array(texts: list[str], name: str, schema: Fields) -> list[Any] | None:
    items = schema["items"]
    if len(texts) == 1 and scalar(texts[0], schema) is None:
        return None
    if "enum" in items or items["type"] in _READERS:  # free text may have commas of its own
        _check_length(texts, name, schema.get("maxItems", inf))
        texts = [part.strip() for text in texts for part in text.split(",")]
    return [scalar(text, items) for text in texts]


def _check_length(texts: list[str], name: str, limit: float) -> None:
    """Raise the schema's own error, but before a text is split into millions of parts."""
    if (length := sum(text.count(",") + 1 for text in texts)) > limit:
        raise InvalidParameter(
            f"Invalid '{name}': array too long. Expected array with maximum length {limit}, "
            f"but got array with length {length} instead.",
            param=name,
            code="array_above_max_length",
        )


def scalar(text: str, schema: Fields) -> Any:
    """One text as the type in its schema, or unchanged if it is not of that type."""
    types = _types(schema)
    if "null" in types and text.lower() == "none":
        return None
    reader = next((_READERS[kind] for kind in types if kind in _READERS), str)
    try:
        return reader(text)
    except ValueError:
        return text


def _types(schema: Fields) -> list[str]:
    types = schema["type"]
    return [types] if isinstance(types, str) else types


def _number(text: str) -> float:
    number = float(_plain(text))
    if not isfinite(number):
        raise ValueError(text)
    return number


def _integer(text: str) -> int:
    return int(_plain(text))


def _plain(text: str) -> str:
    """The text. Raises ValueError for numbers that only Python accepts: `1_000`, digits of other scripts."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return lowered in ("true", "1")


def _object(text: str) -> Fields:
    """JSON text of an object. Raises ValueError for other text; text over _LONGEST_OBJECT isn't parsed."""
    if len(text) > _LONGEST_OBJECT:
        raise ValueError(text)
    value = parse(text.encode(errors="surrogatepass"))
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


_READERS: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "object": _object,
}
