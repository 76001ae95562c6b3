"""A conversation's ears: this worker's runtime."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import BinaryIO

from app.errors import AudioTooLong
from app.runtime import Runtime
from app.transcript import RequestCost, TranscriptDelta
from app.transcription.request import TranscriptionRequest
from app.transcription.side_by_side import SideBySide
from app.waveform import SAMPLE_RATE


class RuntimeListener:
    """Hears the recordings of one request, which together may be as long as one recording may be.

    Closing it ends the work on all of them. `context` is that of the whole request,
    and so is `cost`, in which its work is counted.
    """

    def __init__(
        self, runtime: Runtime, client_gone: Callable[[], bool], cost: RequestCost | None = None
    ) -> None:
        self._runtime = runtime
        self._closed = Event()
        self._share = runtime.held_audio.share()
        self._seconds_heard = 0.0
        self.context = runtime.context(lambda: self._closed.is_set() or client_gone(), cost)

    @property
    def side_by_side(self) -> SideBySide:
        """The worker's threads in which several recordings are heard."""
        return self._runtime.policy.side_by_side

    def hear(self, file: BinaryIO) -> Iterator[TranscriptDelta]:
        """Decode an audio file now; the iterator transcribes it. Raises InvalidRequest."""
        self.context.check()
        samples = self._runtime.decode(file, self.context, self._share)
        self._count(len(samples) / SAMPLE_RATE)
        return self._runtime.stream(samples, TranscriptionRequest(), self.context)

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""
        return self._runtime.count_tokens(text)

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed.set()
        self._share.close()

    def _count(self, seconds: float) -> None:
        self._seconds_heard += seconds
        most = self._runtime.settings.max_audio_seconds
        if self._seconds_heard > most:
            raise AudioTooLong(
                f"The recordings of this request are together longer than {most} seconds, "
                "which is the maximum for this server (WHISPER_MAX_AUDIO_SECONDS)."
            )
