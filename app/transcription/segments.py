"""Cuts the tokens of one window into segments at Whisper's timestamps."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.engines.interface import FRAMES_PER_SECOND, FRAMES_PER_TOKEN
from app.transcript import Word

_STEP_SECONDS = FRAMES_PER_TOKEN / FRAMES_PER_SECOND


@dataclass
class Draft:
    """A segment whose times may still change. Seconds from the start of the recording."""

    start_seconds: float
    end_seconds: float
    tokens: tuple[int, ...]
    words: list[Word] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    """The log-probability of each token, if requested."""


@dataclass(frozen=True)
class WindowSegments:
    """A window's drafts, and how many frames after it the next window starts.

    `ends_in_silence`: the model closed the last segment and opened no other, so the rest of the
    window holds no speech.
    """

    drafts: list[Draft]
    advance: int
    ends_in_silence: bool


def cut(tokens: Sequence[int], timestamp_begin: int, seek: int, frames: int) -> WindowSegments:
    """Cut a window's tokens where one segment's end meets the next one's start.

    `tokens` are text and timestamps; `seek` and `frames` are the window's. An unfinished last
    segment is left for the next window, which starts at its beginning.
    """
    is_time = [token >= timestamp_begin for token in tokens]
    ends_in_silence = is_time[-2:] == [False, True]
    bounds = [i for i in range(1, len(tokens)) if is_time[i - 1] and is_time[i]]
    if not bounds:
        return WindowSegments([_whole(tokens, timestamp_begin, seek, frames)], frames, ends_in_silence)
    if ends_in_silence:
        bounds.append(len(tokens))
    starts = [0, *bounds[:-1]]
    drafts = [_between(tokens[a:b], timestamp_begin, seek) for a, b in zip(starts, bounds, strict=True)]
    last = (tokens[bounds[-1] - 1] - timestamp_begin) * FRAMES_PER_TOKEN
    return WindowSegments(drafts, frames if ends_in_silence else last, ends_in_silence)


def _between(tokens: Sequence[int], timestamp_begin: int, seek: int) -> Draft:
    offset = seek / FRAMES_PER_SECOND
    start = offset + (tokens[0] - timestamp_begin) * _STEP_SECONDS
    end = offset + (tokens[-1] - timestamp_begin) * _STEP_SECONDS
    return Draft(start, end, tuple(tokens))


def _whole(tokens: Sequence[int], timestamp_begin: int, seek: int, frames: int) -> Draft:
    offset = seek / FRAMES_PER_SECOND
    times = [token for token in tokens if token >= timestamp_begin]
    seconds = frames / FRAMES_PER_SECOND
    if times and times[-1] != timestamp_begin:
        seconds = (times[-1] - timestamp_begin) * _STEP_SECONDS
    return Draft(offset, offset + seconds, tuple(tokens))


def last_word_end(drafts: Sequence[Draft]) -> float | None:
    """When the last word ends, or the last draft where none has words; None without drafts."""
    for draft in reversed(drafts):
        if draft.words:
            return draft.words[-1].end_seconds
    return drafts[-1].end_seconds if drafts else None
