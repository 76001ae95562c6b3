"""A Transcript as the body that `response_format` asks for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from app.formats import brief_json, diarized_json, plain_text, subrip, verbose_json, webvtt
from app.formats.render_options import RenderOptions
from app.formats.stream_events import Events, speaker_events, text_events, verbose_events
from app.transcript import Transcript, TranscriptDelta

__all__ = ["FORMATS", "Format", "RenderOptions"]


def _never(_options: RenderOptions) -> bool:
    return False


@dataclass(frozen=True)
class Format:
    """One `response_format`: the full Content-Type, and how a transcript becomes the body.

    `events` streams it instead; None if it can't be streamed. `needs_words(options)` is whether `render` uses
    word times.
    """

    mimetype: str
    render: Callable[[Transcript, RenderOptions], str]
    events: Callable[[Iterable[TranscriptDelta], RenderOptions], Events] | None = None
    needs_words: Callable[[RenderOptions], bool] = _never


_JSON = "application/json"
_PLAIN = "text/plain; charset=utf-8"

FORMATS: Mapping[str, Format] = {
    "json": Format(_JSON, brief_json.render, text_events),
    "text": Format(_PLAIN, plain_text.render, text_events),
    "srt": Format(_PLAIN, subrip.render, needs_words=RenderOptions.limits_subtitles),
    "verbose_json": Format(_JSON, verbose_json.render, verbose_events, RenderOptions.asks_words),
    "vtt": Format(_PLAIN, webvtt.render, needs_words=RenderOptions.limits_subtitles),
    "diarized_json": Format(_JSON, diarized_json.render, speaker_events),
}
"""`response_format` -> Format, in the order OpenAI lists them."""
