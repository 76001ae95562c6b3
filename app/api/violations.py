"""What a JSON Schema refuses, in OpenAI's words and with OpenAI's codes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from jsonschema import ValidationError

from app.errors import InvalidParameter, InvalidRequest, MissingParameter, listed

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
    """The error that tells a caller what they sent and what is allowed."""
    violation = _Violation(
        param=str(error.absolute_path[0]) if error.absolute_path else None,
        place=error.json_path.removeprefix("$."),
        sent=error.instance,
        limit=error.validator_value,
        schema=cast(dict[str, Any], error.schema),
    )
    return _REFUSALS.get(str(error.validator), _not_as_described)(violation)


def shown(value: Any) -> str:
    """A sent value as messages quote it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}..."


@dataclass(frozen=True)
class _Violation:
    """`sent` at `place` (in the field `param`) is not within the `limit` that `schema` sets."""

    param: str | None
    place: str
    sent: Any
    limit: Any
    schema: dict[str, Any]

    @property
    def number(self) -> str:
        """What OpenAI calls the kind of number wanted."""
        return "integer" if "integer" in self.schema["type"] else "decimal"

    def refused(self, problem: str, expected: str, code: str | None = None) -> InvalidRequest:
        """OpenAI's sentence for a value that breaks a rule."""
        got = shown(self.sent)
        message = f"Invalid '{self.place}': {problem}. Expected {expected}, but got {got} instead."
        return InvalidParameter(message, param=self.param, code=code)


def _required(violation: _Violation) -> InvalidRequest:
    name = next(name for name in violation.limit if name not in violation.sent)
    if name == "model":
        return MissingParameter("you must provide a model parameter")
    return MissingParameter(f"Missing required parameter: '{name}'.", param=name)


def _dependent_required(violation: _Violation) -> InvalidRequest:
    name, needed = next(
        (name, other)
        for name, others in violation.limit.items()
        for other in others
        if name in violation.sent and other not in violation.sent
    )
    return InvalidParameter(f"The parameter '{name}' requires '{needed}', which was not sent.", param=name)


def _enum(violation: _Violation) -> InvalidRequest:
    supported = listed(violation.limit)
    message = f"Invalid value: {shown(violation.sent)}. Supported values are: {supported}."
    return InvalidParameter(message, param=violation.param)


def _type(violation: _Violation) -> InvalidRequest:
    types = [violation.limit] if isinstance(violation.limit, str) else violation.limit
    kinds, got = " or ".join(_KINDS[kind] for kind in types), shown(violation.sent)
    message = f"Invalid type for '{violation.place}': expected {kinds}, but got {got} instead."
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
            f"Invalid '{violation.place}': {kind} too long. Expected {kind} with maximum length "
            f"{violation.limit}, but got {kind} with length {len(violation.sent)} instead."
        )
        return InvalidParameter(message, param=violation.param, code=f"{kind}_above_max_length")

    return refuse


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
}
