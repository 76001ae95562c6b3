"""What whisper.cpp's server answers to /inference.

The shapes are those of `format_text`, `format_json` and `format_verbose_json` in its source
(github.com/ggml-org/whisper.cpp, examples/server), with three differences. Its verbose_json calls every
token a word; here they are words. The probabilities of all languages are left out, as it does
with `no_language_probabilities`. And text is text/plain: as text/html, which it sends, what somebody says
would be a page.
"""

from collections.abc import Mapping
from typing import Any

from app.formats import Format, subrip, webvtt
from app.formats.render_options import RenderOptions
from app.formats.verbose_json import language_name, segment_object, word_with_probability
from app.formats.wire import dump_json, finite, well_formed
from app.transcript import Segment, Transcript

_OF_SEGMENTS = (
    "id",
    "text",
    "start",
    "end",
    "words",
    "tokens",
    "temperature",
    "avg_logprob",
    "no_speech_prob",
)


def render_text(transcript: Transcript, _options: RenderOptions) -> str:
    """A line for each segment, which keeps its leading blank."""
    return well_formed(_text(transcript))


def render_json(transcript: Transcript, _options: RenderOptions) -> str:
    """The same text as an object."""
    return dump_json({"text": _text(transcript)})


def render_verbose_json(transcript: Transcript, _options: RenderOptions) -> str:
    """The text with its segments, and their words in them."""
    body = {
        "task": transcript.task,
        "language": language_name(transcript),
        "duration": finite(transcript.duration_seconds),
        "text": _text(transcript),
        "segments": [_segment(segment) for segment in transcript.segments],
    }
    return dump_json(body)


FORMATS: Mapping[str, Format] = {
    "json": Format("application/json", render_json),
    "text": Format("text/plain; charset=utf-8", render_text),
    "srt": Format("application/x-subrip", subrip.render),
    "verbose_json": Format("application/json", render_verbose_json),
    "vtt": Format("text/vtt", webvtt.render),
}
"""`response_format` -> Format."""


def _text(transcript: Transcript) -> str:
    return "".join(f"{segment.text}\n" for segment in transcript.segments)


def _segment(segment: Segment) -> dict[str, Any]:
    known = segment_object(segment) | {"words": [word_with_probability(word) for word in segment.words]}
    return {name: known[name] for name in _OF_SEGMENTS}
