"""Limits how much decoded audio a worker holds at a time: a small file can be hours of it."""

from threading import Lock
from types import TracebackType

from app.errors import ServerBusy
from app.waveform import SAMPLE_RATE

MAX_SECONDS = 28_800
"""For all requests together, each channel counted: about 2 GB with their features."""

_RETRY_SECONDS = 30


class HeldAudio:
    """The audio that the requests of a worker hold, counted in 16 kHz samples."""

    def __init__(self, most_seconds: int = MAX_SECONDS) -> None:
        self.most_seconds = most_seconds
        self.samples = 0
        self._lock = Lock()

    def share(self) -> "AudioShare":
        """A new request's share, empty at first. It must be closed."""
        return AudioShare(self)

    def resize(self, share: "AudioShare", samples: int) -> None:
        """Add samples to a share, or take them away. Raises ServerBusy if the worker then holds too much.

        A request that is alone is never refused: its own limits bound it.
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

    def split(self, share: "AudioShare", samples: int) -> "AudioShare":
        """Move samples of a share to a new one, but no more than it has."""
        with self._lock:
            moved = AudioShare(self)
            moved.samples = min(samples, share.samples)
            share.samples -= moved.samples
            return moved


class AudioShare:
    """The samples that one request holds. Leaving the context releases them."""

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
        """Hold so many more samples. Raises ServerBusy if the worker then holds too much."""
        self._held.resize(self, samples)

    def split(self, samples: int) -> "AudioShare":
        """Move samples to a share of their own, which must be closed; if there are not as many, all."""
        return self._held.split(self, samples)

    def close(self) -> None:
        """Release all samples."""
        self._held.resize(self, -self.samples)
