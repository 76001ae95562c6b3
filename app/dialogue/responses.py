"""A request of OpenAI's Responses API -> what there is to hear in it, and the same with text there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.dialogue.request import MAX_RECORDINGS, AudioPart
from app.errors import InvalidParameter

Body = dict[str, Any]

_WHOLE_ITEM = -1
"""The `part` of a recording that is an item by itself and not a part of a message."""
_HEARD = ("data:audio/", "data:video/")


@dataclass(frozen=True)
class InputPart(AudioPart):
    """A recording in `input`: `message` is the number of its item."""

    @property
    def param(self) -> str:
        """The part as a path into the request."""
        content = "" if self.part == _WHOLE_ITEM else f".content[{self.part}]"
        return f"input[{self.message}]{content}.{self.kind}"


def recordings_of(fields: Mapping[str, Any]) -> tuple[InputPart, ...]:
    """The recordings of a body that the schema has checked, in order. Raises InvalidParameter."""
    found = tuple(_recordings(fields.get("input")))
    if len(found) > MAX_RECORDINGS:
        raise InvalidParameter(
            f"Invalid 'input': expected at most {MAX_RECORDINGS} recordings, but got {len(found)}.",
            param="input",
        )
    return found


def written(fields: Mapping[str, Any], parts: Sequence[InputPart], texts: Sequence[str]) -> Body:
    """The request with text in place of each recording; all else stays."""
    if not parts:
        return dict(fields)
    items = [dict(item) for item in fields["input"]]
    for part, text in zip(parts, texts, strict=True):
        said = {"type": "input_text", "text": text}
        if part.part == _WHOLE_ITEM:
            items[part.message] = {"type": "message", "role": "user", "content": [said]}
        else:
            content = list(items[part.message]["content"])
            content[part.part] = said
            items[part.message]["content"] = content
    return {**fields, "input": items}


def _recordings(items: Any) -> Iterator[InputPart]:
    for number, item in enumerate(items if isinstance(items, list) else ()):
        yield from _recording(number, _WHOLE_ITEM, item)
        content = item.get("content")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            yield from _recording(number, index, part)


def _recording(number: int, index: int, part: Mapping[str, Any]) -> Iterator[InputPart]:
    if part.get("type") == "input_audio":
        yield InputPart(number, index, "input_audio", part["input_audio"]["data"])
    if part.get("type") == "input_file" and (part.get("file_data") or "").lower().startswith(_HEARD):
        yield InputPart(number, index, "file_data", part["file_data"])
