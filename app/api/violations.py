"""Violations of a JSON Schema -> errors with OpenAI's messages and codes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from jsonschema import ValidationError

from app.errors import InvalidParameter, InvalidRequest, MissingParameter, listed

Path = tuple[str | int, ...]

_LONGEST_ECHO = 80
_KINDS = {
    "number": "a decimal number",
    "integer": "an integer",
    "boolean": "'true' or 'false'",
    "null": "'none'",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}


def refusal(error: ValidationError) -> InvalidRequest:
    """The error for a violation: its message has the field, what was sent and what is allowed."""
    violation = _Violation(
        path=tuple(error.absolute_path),
        value=error.instance,
        limit=error.validator_value,
        schema=cast(dict[str, Any], error.schema),
    )
    return _REFUSALS.get(str(error.validator), _not_as_described)(violation)


def _dotted(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def _param(path: Path) -> str | None:
    """The field's name; for anything deeper than an entry of a list or object, the path."""
    return _dotted(path if len(path) > 2 else path[:1]) or None


def shown(value: Any) -> str:
    """A value as messages quote it; a long one is cut."""
    text = repr(value[: _LONGEST_ECHO + 1] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}..."


@dataclass(frozen=True)
class _Violation:
    """The `value` at `path` is not within the `limit` that `schema` sets."""

    path: Path
    value: Any
    limit: Any
    schema: dict[str, Any]

    @property
    def param(self) -> str | None:
        """What the error body names."""
        return _param(self.path)

    @property
    def dotted_path(self) -> str:
        """What the message names: `messages[0].role`."""
        return _dotted(self.path)

    @property
    def number(self) -> str:
        """What OpenAI's messages call the kind of number: `integer` or `decimal`."""
        return "integer" if "integer" in self.schema["type"] else "decimal"

    def refused(self, problem: str, expected: str, code: str | None = None) -> InvalidRequest:
        """OpenAI's sentence for a value that breaks a rule."""
        got = shown(self.value)
        message = f"Invalid '{self.dotted_path}': {problem}. Expected {expected}, but got {got} instead."
        return InvalidParameter(message, param=self.param, code=code)


def _required(violation: _Violation) -> InvalidRequest:
    name = next(name for name in violation.limit if name not in violation.value)
    path = (*violation.path, name)
    if path == ("model",):
        return MissingParameter("you must provide a model parameter")
    return MissingParameter(f"Missing required parameter: '{_dotted(path)}'.", param=_param(path))


def _dependent_required(violation: _Violation) -> InvalidRequest:
    name, needed = next(
        (name, other)
        for name, others in violation.limit.items()
        for other in others
        if name in violation.value and other not in violation.value
    )
    return InvalidParameter(f"The parameter '{name}' requires '{needed}', which was not sent.", param=name)


def _enum(violation: _Violation) -> InvalidRequest:
    supported = listed(violation.limit)
    message = f"Invalid value: {shown(violation.value)}. Supported values are: {supported}."
    return InvalidParameter(message, param=violation.param)


def _type(violation: _Violation) -> InvalidRequest:
    types = [violation.limit] if isinstance(violation.limit, str) else violation.limit
    kinds, got = " or ".join(_KINDS[kind] for kind in types), shown(violation.value)
    message = f"Invalid type for '{violation.dotted_path}': expected {kinds}, but got {got} instead."
    return InvalidParameter(message, param=violation.param, code="invalid_type")


def _too_small(sign: str) -> Callable[[_Violation], InvalidRequest]:
    def refuse(violation: _Violation) -> InvalidRequest:
        number = violation.number
        problem = f"{number} below minimum value"
        return violation.refused(problem, f"a value {sign} {violation.limit}", f"{number}_below_min_value")

    return refuse


def _too_big(violation: _Violation) -> InvalidRequest:
    number = violation.number
    problem = f"{number} above maximum value"
    return violation.refused(problem, f"a value <= {violation.limit}", f"{number}_above_max_value")


def _too_long(kind: str) -> Callable[[_Violation], InvalidRequest]:
    def refuse(violation: _Violation) -> InvalidRequest:
        message = (
            f"Invalid '{violation.dotted_path}': {kind} too long. Expected {kind} with maximum length "
            f"{violation.limit}, but got {kind} with length {len(violation.value)} instead."
        )
        return InvalidParameter(message, param=violation.param, code=f"{kind}_above_max_length")

    return refuse


def _empty(violation: _Violation) -> InvalidRequest:
    return violation.refused("empty array", f"an array with minimum length {violation.limit}", "empty_array")


def _not_as_described(violation: _Violation) -> InvalidRequest:
    return violation.refused("value not allowed", violation.schema["description"])


_REFUSALS = {
    "required": _required,
    "dependentRequired": _dependent_required,
    "type": _type,
    "enum": _enum,
    "minimum": _too_small(">="),
    "exclusiveMinimum": _too_small(">"),
    "maximum": _too_big,
    "maxLength": _too_long("string"),
    "maxItems": _too_long("array"),
    "minItems": _empty,
}
