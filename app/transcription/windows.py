"""The clips of a recording, and the previous text that is each window's prompt."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from app.engines.interface import (
    FRAMES_PER_SECOND,
    FRAMES_PER_TOKEN,
    WINDOW_FRAMES,
    WINDOW_POSITIONS,
    Tokenizer,
)
from app.errors import InvalidParameter
from app.transcription.request import TranscriptionRequest

_MARGIN = 128
"""Positions after a clip. The model needs some silence to end its text; with 64 it repeats itself."""
_SIZES = 128
"""Short contexts are multiples of this: few sizes for libraries to prepare for."""
_SHORTEST = 384
"""With 256, clips of under 2 s are now and then said twice."""


def short_context(frames: int) -> int:
    """How many of the encoder's positions a window of so many frames needs, with a margin."""
    needed = ceil(frames / FRAMES_PER_TOKEN) + _MARGIN
    return min(max(_SHORTEST, ceil(needed / _SIZES) * _SIZES), WINDOW_POSITIONS)


def clip_frames(clip_seconds: Sequence[float], frames: int) -> list[tuple[int, int]]:
    """Clips as (first, end) frames within a recording of `frames` frames.

    `clip_seconds` is start,end,start,...; a missing last end is the recording's. Whatever of a
    clip lies past the end is left out.
    """
    points = [round(seconds * FRAMES_PER_SECOND) for seconds in clip_seconds] or [0]
    if len(points) % 2:
        points.append(frames)
    clips = zip(points[::2], points[1::2], strict=True)
    return [(start, min(end, frames)) for start, end in clips if start < min(end, frames)]


def check_time_for_clips(clip_seconds: Sequence[float], longest_seconds: float, limit_seconds: float) -> None:
    """Raise InvalidParameter for more clips than can be decoded in time: each takes at least one window.

    `longest_seconds` is how much audio can be transcribed within the limit of a request, `limit_seconds`.
    """
    clips = len(clip_frames(clip_seconds, sys.maxsize)) if clip_seconds else 0
    windows = longest_seconds * FRAMES_PER_SECOND / WINDOW_FRAMES
    if clips > windows:
        raise InvalidParameter(
            f"Invalid 'clip_timestamps': {clips} clips are at least as many windows of 30 seconds, and this "
            f"server can transcribe {int(windows)} at its present speed within the {limit_seconds:g} seconds "
            "that it allows a request (WHISPER_REQUEST_SECONDS).",
            param="clip_timestamps",
        )


@dataclass
class PreviousText:
    """The tokens decoded so far, and the prompt of the next window.

    `room` is how many prompt tokens the model takes.
    """

    initial: tuple[int, ...]
    room: int
    carry_initial: bool
    tokens: list[int] = field(default_factory=list)
    _reset_since: int = 0

    def __post_init__(self) -> None:
        self.tokens.extend(self.initial)

    @classmethod
    def of(cls, request: TranscriptionRequest, tokenizer: Tokenizer, text_context: int) -> "PreviousText":
        """Before the first window: the request's own prompt."""
        prompt = request.prompt
        initial = tokenizer.encode(" " + prompt.strip()) if prompt is not None else []
        return cls(tuple(initial), text_context // 2 - 1, request.carry_initial_prompt)

    def prompt(self) -> tuple[int, ...]:
        """The prompt of the next window; the decoder keeps the last `room` tokens of it."""
        if not self.carry_initial:
            return tuple(self.tokens[self._reset_since :])
        fresh = self.tokens[max(len(self.initial), self._reset_since) :]
        return self.initial + tuple(fresh[len(self.initial) - self.room :])

    def extend(self, tokens: Sequence[int]) -> None:
        """Add the tokens of a segment."""
        self.tokens.extend(tokens)

    def reset(self) -> None:
        """Leave the tokens so far out of the next prompts."""
        self._reset_since = len(self.tokens)
