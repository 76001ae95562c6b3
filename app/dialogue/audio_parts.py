"""The recordings in a conversation -> their transcripts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from app.dialogue.request import AudioPart
from app.errors import AudioTooLong, InvalidRequest
from app.request_context import RequestContext
from app.transcript import TranscriptDelta
from app.transcription.request import TranscriptionRequest
from app.transcription.side_by_side import SideBySide
from app.transcription.transcriber import Deltas, Transcriber


class AudioTranscriber(Protocol):
    """Transcribes the recordings of one conversation, in the threads of `side_by_side`."""

    @property
    def side_by_side(self) -> SideBySide:
        """The worker's threads in which several recordings are transcribed."""

    def stream(self, file: BinaryIO) -> Deltas:
        """Read an audio file now, transcribe it while the result is iterated over. Raises InvalidRequest."""

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""


@dataclass(frozen=True)
class ConversationTranscriber:
    """An AudioTranscriber for one request. Its recordings may have `max_seconds` in total."""

    transcriber: Transcriber
    context: RequestContext
    max_seconds: int
    count_tokens: Callable[[str], int]

    @property
    def side_by_side(self) -> SideBySide:
        """The worker's threads in which several recordings are transcribed."""
        return self.transcriber.policy.side_by_side

    def stream(self, file: BinaryIO) -> Deltas:
        """Read an audio file now, transcribe it while the result is iterated over. Raises InvalidRequest."""
        deltas = self.transcriber.stream(file, TranscriptionRequest(), self.context)
        if self.context.cost.totals().audio_seconds > self.max_seconds:
            deltas.close()
            raise AudioTooLong(
                f"The recordings of this request are together longer than {self.max_seconds} seconds, "
                "which is the maximum for this server (WHISPER_MAX_AUDIO_SECONDS)."
            )
        return deltas


def transcribe_audio_parts(parts: Sequence[AudioPart], transcriber: AudioTranscriber) -> Deltas:
    """The transcripts of all parts, a line for each. The last delta of each part has its usage.

    Raises InvalidRequest, with the part's path as `param`, and what transcribing raises.
    """
    with _opened(parts, transcriber) as opened:
        for number, deltas in enumerate(opened):
            if number:
                yield TranscriptDelta("", "\n")
            yield from deltas


def texts_of_audio_parts(parts: Sequence[AudioPart], transcriber: AudioTranscriber) -> tuple[list[str], int]:
    """The text of each part, and the audio tokens of all. Raises what `transcribe_audio_parts` raises."""
    with _opened(parts, transcriber) as opened:
        collected = [list(deltas) for deltas in opened]
    texts = ["".join(delta.text for delta in deltas) for deltas in collected]
    usages = (delta.usage for deltas in collected for delta in deltas if delta.usage)
    return texts, sum(usage.audio_tokens for usage in usages)


@contextmanager
def _opened(
    parts: Sequence[AudioPart], transcriber: AudioTranscriber
) -> Iterator[Sequence[Iterator[TranscriptDelta]]]:
    """Each part's deltas. The files are read one after the other, and then transcribed at the same time."""
    with ExitStack() as held:
        opened = [held.enter_context(closing(_open(part, transcriber))) for part in parts]
        if len(opened) < 2:
            yield opened
            return
        held.pop_all()  # read_ahead closes them
        with transcriber.side_by_side.read_ahead(opened) as deltas_ahead:
            yield deltas_ahead


def _open(part: AudioPart, transcriber: AudioTranscriber) -> Deltas:
    try:
        return transcriber.stream(part.file())
    except InvalidRequest as error:
        error.param = part.param  # Transcriber calls every recording `file`
        raise
