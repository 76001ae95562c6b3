"""Recordings in a conversation -> what was said in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from app.dialogue.request import AudioPart
from app.errors import InvalidRequest
from app.transcript import TranscriptDelta
from app.transcription.side_by_side import SideBySide

Deltas = Iterator[TranscriptDelta]


class Listener(Protocol):
    """The ears of a conversation. `side_by_side` are the threads in which several recordings are heard."""

    @property
    def side_by_side(self) -> SideBySide:
        """The worker's."""

    def hear(self, file: BinaryIO) -> Deltas:
        """Decode an audio file now; the iterator transcribes it. Raises InvalidRequest."""

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""


def hear_all(parts: Sequence[AudioPart], listener: Listener) -> Deltas:
    """What is said in all parts, a line for each; the usage of a part comes with its end.

    Raises InvalidRequest, with the part's place as `param`, and what transcribing raises.
    """
    with _side_by_side(parts, listener) as heard:
        for number, deltas in enumerate(heard):
            if number:
                yield TranscriptDelta("", "\n")
            yield from deltas


def transcripts(parts: Sequence[AudioPart], listener: Listener) -> tuple[list[str], int]:
    """The text of each part, and the audio tokens of all. Raises what `hear_all` raises."""
    with _side_by_side(parts, listener) as heard:
        collected = [list(deltas) for deltas in heard]
    texts = ["".join(delta.text for delta in deltas) for deltas in collected]
    usages = (delta.usage for deltas in collected for delta in deltas if delta.usage)
    return texts, sum(usage.audio_tokens for usage in usages)


@contextmanager
def _side_by_side(parts: Sequence[AudioPart], listener: Listener) -> Iterator[list[Deltas]]:
    """Each part's deltas. Files are decoded in turn; several are then transcribed at the same time."""
    heard = [_opened(part, listener) for part in parts]
    if len(heard) < 2:
        yield heard
        return
    with listener.side_by_side.ahead(heard) as ahead:
        yield ahead


def _opened(part: AudioPart, listener: Listener) -> Deltas:
    try:
        return listener.hear(part.file())
    except InvalidRequest as error:
        error.param = part.place  # below, every recording is called `file`
        raise
