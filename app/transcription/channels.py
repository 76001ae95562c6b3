"""A recording with one speaker on each channel."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import count, product
from string import ascii_uppercase

from app.transcript import Segment
from app.transcription.window_loop import WindowLoop


class ByChannel:
    """A TranscriptionStrategy that transcribes all channels side by side and merges their segments by time.

    `names` are the speakers' names in channel order, "" for none; they must differ. The other speakers are
    A, B, ..., Z, AA, ... in the order of their first segments, without the letters that are in `names`.
    """

    def __init__(self, channels: Sequence[WindowLoop], names: Sequence[str]) -> None:
        self.channels = channels
        self._names = {channel: name for channel, name in enumerate(names) if name}
        self._letters = (letters for letters in _letters() if letters not in names)

    @property
    def language(self) -> str | None:
        """The language of the first channel that has one."""
        return next((channel.language for channel in self.channels if channel.language), None)

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the caller's prompt has."""
        return self.channels[0].prompt_tokens

    def segments(self) -> Iterator[Segment]:
        """The segments of all channels with their speakers; those without text are left out."""
        by_channel = [_numbered(number, channel.segments()) for number, channel in enumerate(self.channels)]
        with self.channels[0].policy.side_by_side.read_ahead(by_channel) as segments_ahead:
            for number, segment in merge(*segments_ahead, key=_start):
                if segment.text:
                    yield replace(segment, speaker=self._speaker(number))

    def _speaker(self, channel: int) -> str:
        if channel not in self._names:
            self._names[channel] = next(self._letters)
        return self._names[channel]


def _letters() -> Iterator[str]:
    """A, B, ..., Z, AA, AB, ... (infinite)."""
    for length in count(1):
        yield from map("".join, product(ascii_uppercase, repeat=length))


def _numbered(number: int, segments: Iterator[Segment]) -> Iterator[tuple[int, Segment]]:
    for segment in segments:
        yield number, segment


def _start(entry: tuple[int, Segment]) -> float:
    return entry[1].start_seconds
