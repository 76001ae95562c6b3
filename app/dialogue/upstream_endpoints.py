"""What an upstream server is asked for, and what its answers must be before anything looks into them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_EVENT_NAME = re.compile(r"[\w.:-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class Endpoint:
    """A URL under an upstream's base, and what must be true of what it sends."""

    path: str
    is_answer: Callable[[Any], bool]
    no_answer: str
    is_event: Callable[[Any], bool]
    no_event: str


def _is_completion(answer: Any) -> bool:
    return isinstance(answer, dict) and _are_choices(answer.get("choices"))


def _is_chunk(event: Any) -> bool:
    return isinstance(event, dict) and _are_choices(event.get("choices") or [])


def _are_choices(choices: Any) -> bool:
    return isinstance(choices, list) and all(
        isinstance(choice, dict) and isinstance(choice.get("index"), int | None) for choice in choices
    )


def _is_response(answer: Any) -> bool:
    return isinstance(answer, dict)


def _is_named(event: Any) -> bool:
    """A name goes out as a line of its own: it must be one."""
    name = event.get("type") if isinstance(event, dict) else None
    return isinstance(name, str) and _EVENT_NAME.fullmatch(name) is not None


CHAT = Endpoint(
    "chat/completions",
    _is_completion,
    "no chat completion: it has no choices",
    _is_chunk,
    "no chunk with choices",
)
RESPONSES = Endpoint("responses", _is_response, "no response object", _is_named, "no object with a type")
