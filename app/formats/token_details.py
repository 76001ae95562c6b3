"""Details of single tokens and of the languages: `logprobs` and `languages` of an answer."""

from collections.abc import Iterable
from typing import Any

from app.formats.wire import finite
from app.transcript import Segment


def languages(segments: Iterable[Segment]) -> list[dict[str, str]]:
    """The languages that were spoken, in order of appearance."""
    codes = dict.fromkeys(segment.language for segment in segments if segment.text)
    return [{"code": code} for code in codes]


def logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """The text tokens of segments, in order. A token may be part of a character; see `bytes`."""
    return [
        {"token": token.text, "logprob": finite(token.logprob), "bytes": list(token.raw)}
        for segment in segments
        for token in segment.logprobs
    ]
