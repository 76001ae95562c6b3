"""The audio of a session that is not committed yet."""

from app.realtime.formats import AudioFormat


class InputBuffer:
    """Audio from `start_ms` of the session on. Times are milliseconds of all the audio that was appended."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._audio = bytearray()
        self._dropped_bytes = 0
        self._earlier_ms = 0

    @property
    def start_ms(self) -> int:
        """When its audio begins."""
        return self._earlier_ms + self._dropped_bytes // self.format.bytes_per_ms

    @property
    def end_ms(self) -> int:
        """The session's clock: when its audio ends."""
        return self._earlier_ms + (self._dropped_bytes + len(self._audio)) // self.format.bytes_per_ms

    @property
    def milliseconds(self) -> float:
        """How much audio it holds."""
        return len(self._audio) / self.format.bytes_per_ms

    def append(self, audio: bytes) -> None:
        """Add audio, which may end within a sample."""
        self._audio += audio

    def take(self, start_ms: int, end_ms: int) -> bytes:
        """Remove all audio up to `end_ms` and return what came after `start_ms`."""
        start, end = self._offset(start_ms), self._offset(end_ms)
        taken = bytes(self._audio[start:end])
        self._drop(end)
        return taken

    def take_all(self) -> bytes:
        """Remove all audio and return it."""
        taken = bytes(self._audio)
        self.clear()
        return taken

    def clear(self) -> None:
        """Remove all audio. Half a sample at its end is forgotten, and the next one begins a sample."""
        self._earlier_ms, self._dropped_bytes = self.end_ms, 0
        self._audio.clear()

    def change_format(self, format: AudioFormat) -> None:
        """The audio from now on has another format; what there is must be taken before."""
        self.clear()
        self.format = format

    def _offset(self, at_ms: int) -> int:
        offset = (at_ms - self._earlier_ms) * self.format.bytes_per_ms - self._dropped_bytes
        return min(max(offset, 0), len(self._audio))

    def _drop(self, size: int) -> None:
        del self._audio[:size]
        self._dropped_bytes += size
