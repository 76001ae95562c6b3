"""A transcript cut into subtitles.

Without limits every segment is a cue. With limits the words are laid out as in openai-whisper's own
writers: into stretches that no cue may cross, into lines within a stretch, and into cues of lines.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from app.formats.render_options import RenderOptions
from app.transcript import Segment, Transcript, Word

_NO_LIMIT = 1000  # openai-whisper's stand-in for "no limit" on characters and words in a line
_LONG_PAUSE_SECONDS = 3.0
_ARROWS = re.compile("-{2,}>")

Line = Sequence[Word]
T = TypeVar("T")


@dataclass(frozen=True)
class Cue:
    """One subtitle. `text` is not empty, has no blank line and no `-->`, which would end the cue."""

    start_seconds: float
    end_seconds: float
    text: str


def cues(transcript: Transcript, options: RenderOptions) -> Iterator[Cue]:
    """The subtitles of a transcript in order; those without text are left out."""
    by_words = options.limits_subtitles() and transcript.words
    cut = _word_cues(transcript.segments, options) if by_words else _segment_cues(transcript.segments)
    return (cue for cue in cut if cue.text)


def _segment_cues(segments: Sequence[Segment]) -> Iterator[Cue]:
    for segment in segments:
        yield Cue(segment.start_seconds, segment.end_seconds, _without_markup(segment.text))


def _word_cues(segments: Sequence[Segment], options: RenderOptions) -> Iterator[Cue]:
    for stretch in _stretches(segments, options):
        lines = list(_lines(stretch, options.max_line_width or _NO_LIMIT))
        for cue_lines in _batches(lines, options.max_line_count or len(lines)):
            yield _cue(cue_lines)


def _stretches(segments: Sequence[Segment], options: RenderOptions) -> Iterator[Sequence[Word]]:
    """Runs of words that no cue may cross.

    Width and line count together fill cues across segments, up to a long pause; `max_words_per_line`
    then has no effect. In any other case a cue ends with its segment at the latest.
    """
    words_by_segment = [[word for word in segment.words if word.text.strip()] for segment in segments]
    if options.max_line_width is not None and options.max_line_count is not None:
        return _between_pauses(list(chain.from_iterable(words_by_segment)))
    size = options.max_words_per_line or _NO_LIMIT
    return chain.from_iterable(_batches(words, size) for words in words_by_segment)


def _between_pauses(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Words, divided where one starts more than 3 s after the start of the one before."""
    stretch: list[Word] = []
    for word in words:
        if stretch and word.start_seconds - stretch[-1].start_seconds > _LONG_PAUSE_SECONDS:
            yield stretch
            stretch = []
        stretch.append(word)
    if stretch:
        yield stretch


def _lines(words: Sequence[Word], width: int) -> Iterator[Line]:
    """Words laid into lines of at most `width` characters; a longer word has a line of its own."""
    line: list[Word] = []
    for word in words:
        if line and len(_line_text(line)) + len(word.text) > width:
            yield line
            line = []
        line.append(word)
    if line:
        yield line


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _cue(lines: Sequence[Line]) -> Cue:
    text = "\n".join(map(_line_text, lines))
    return Cue(lines[0][0].start_seconds, lines[-1][-1].end_seconds, _without_markup(text))


def _line_text(line: Line) -> str:
    first, *others = (word.text for word in line)
    return first.strip() + "".join(others)


def _without_markup(text: str) -> str:
    lines = (line for line in text.splitlines() if line.strip())
    return _ARROWS.sub("->", "\n".join(lines)).strip()
