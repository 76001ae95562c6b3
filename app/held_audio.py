"""How much sound a worker holds at a time: a small file can be hours of it."""

from threading import Lock
from types import TracebackType

from app.errors import ServerBusy
from app.waveform import SAMPLE_RATE

MOST_SECONDS = 28_800
"""Of all requests together, each channel counted: with their features about 2 GB."""

_RETRY_SECONDS = 30


class HeldAudio:
    """The sound that the requests of a worker hold, counted in 16 kHz samples."""

    def __init__(self, most_seconds: int = MOST_SECONDS) -> None:
        self.most_seconds = most_seconds
        self.samples = 0
        self._lock = Lock()

    def share(self) -> "AudioShare":
        """What one request holds: nothing yet. To be closed with the request."""
        return AudioShare(self)

    def move(self, share: "AudioShare", samples: int) -> None:
        """Let a share hold so many more samples, or fewer. Raises ServerBusy for more than there is room.

        What a request holds alone always has room: its own limits bound it.
        """
        with self._lock:
            others = self.samples - share.samples
            if samples > 0 and others and self.samples + samples > self.most_seconds * SAMPLE_RATE:
                raise ServerBusy(
                    f"{samples / SAMPLE_RATE:.1f} seconds of audio are more than there is room for beside "
                    f"the recordings that the server is working on: it holds {self.most_seconds} seconds "
                    "at a time, each channel counted. Please retry later.",
                    retry_after_seconds=_RETRY_SECONDS,
                )
            self.samples += samples
            share.samples += samples


class AudioShare:
    """What one request holds. Leaving it gives all back."""

    def __init__(self, held: HeldAudio) -> None:
        self.samples = 0
        self._held = held

    def __enter__(self) -> "AudioShare":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, samples: int) -> None:
        """Hold so many more. Raises ServerBusy where there is no room for them."""
        self._held.move(self, samples)

    def close(self) -> None:
        """Hold nothing any more."""
        self._held.move(self, -self.samples)
