"""The files that openai-whisper's command writes: txt, vtt, srt, tsv and json, as whisper.utils has them.

whisper-asr-webservice answers with them. A test holds them against openai-whisper's own writers.
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.formats import subrip
from app.formats.clock import timestamp
from app.formats.cues import Cue, cues
from app.formats.render_options import RenderOptions
from app.formats.verbose_json import segment_object, word_with_probability
from app.formats.wire import dump_json, well_formed
from app.transcript import Segment, Transcript


def render_txt(transcript: Transcript, _options: RenderOptions) -> str:
    """A line for each segment."""
    return well_formed("".join(f"{segment.text.strip()}\n" for segment in transcript.segments))


def render_vtt(transcript: Transcript, options: RenderOptions) -> str:
    """WebVTT, hours written only where there are any."""
    return well_formed("WEBVTT\n\n" + "".join(map(_vtt_block, cues(transcript, options))))


def render_tsv(transcript: Transcript, _options: RenderOptions) -> str:
    """Start and end in milliseconds, and the text of each segment."""
    return well_formed("start\tend\ttext\n" + "".join(map(_tsv_line, transcript.segments)))


def render_json(transcript: Transcript, options: RenderOptions) -> str:
    """What `transcribe()` returns. Words are in their segments, and the language is a code."""
    first = transcript.segments[0].text if transcript.segments else ""
    blank = first[: len(first) - len(first.lstrip())]
    body = {
        "text": blank + transcript.text.lstrip(),
        "segments": [_segment(segment, words=options.asks_words()) for segment in transcript.segments],
        "language": transcript.language,
    }
    return dump_json(body)


RENDERERS: Mapping[str, Callable[[Transcript, RenderOptions], str]] = {
    "txt": render_txt,
    "vtt": render_vtt,
    "srt": subrip.render,
    "tsv": render_tsv,
    "json": render_json,
}
"""A file's ending -> its text."""


def _vtt_block(cue: Cue) -> str:
    start, end = (
        timestamp(seconds, ".").removeprefix("00:") for seconds in (cue.start_seconds, cue.end_seconds)
    )
    return f"{start} --> {end}\n{cue.text}\n\n"


def _tsv_line(segment: Segment) -> str:
    start, end = round(1000 * segment.start_seconds), round(1000 * segment.end_seconds)
    text = segment.text.strip().replace("\t", " ")
    return f"{start}\t{end}\t{text}\n"


def _segment(segment: Segment, *, words: bool) -> dict[str, Any]:
    return segment_object(segment) | (
        {"words": [word_with_probability(word) for word in segment.words]} if words else {}
    )
