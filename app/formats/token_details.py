"""Details of single tokens and of the languages: `logprobs` and `languages` of an answer."""

from collections.abc import Iterable
from typing import Any

from app.formats.wire import finite
from app.transcript import Segment


def languages(code: str, text: str) -> list[dict[str, str]]:
    """The language of a text; none if the text is empty."""
    return [{"code": code}] if text else []


def logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """The text tokens of segments, in order. A token may be part of a character; see `bytes`."""
    return [
        {"token": token.text, "logprob": finite(token.logprob), "bytes": list(token.raw)}
        for segment in segments
        for token in segment.logprobs
    ]
