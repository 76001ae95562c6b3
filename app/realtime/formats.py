"""The formats of a session's audio."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT_CHUNK_BYTES = 16


@dataclass(frozen=True)
class AudioFormat:
    """Mono audio without a header: `codec` is FFmpeg's name, `wav_tag` the one in a WAV file's header."""

    type: str
    rate: int
    sample_bytes: int
    codec: str
    wav_tag: int

    @property
    def bytes_per_ms(self) -> int:
        """Bytes in a millisecond."""
        return self.rate // 1000 * self.sample_bytes

    @property
    def described(self) -> dict[str, Any]:
        """The session object's `format`."""
        return {"type": self.type, "rate": self.rate} if self.type == "audio/pcm" else {"type": self.type}

    def wav(self, audio: bytes) -> bytes:
        """A WAV file of whole samples; half a sample at the end is left out."""
        audio = audio[: len(audio) // self.sample_bytes * self.sample_bytes]
        return self._header(len(audio)) + audio

    def _header(self, size: int) -> bytes:
        after_riff = _HEADER.size - 8 + size
        bits, bytes_per_second = 8 * self.sample_bytes, self.rate * self.sample_bytes
        described = (self.wav_tag, 1, self.rate, bytes_per_second, self.sample_bytes, bits)
        return _HEADER.pack(
            b"RIFF", after_riff, b"WAVE", b"fmt ", _FORMAT_CHUNK_BYTES, *described, b"data", size
        )


FORMATS: Mapping[str, AudioFormat] = {
    known.type: known
    for known in (
        AudioFormat("audio/pcm", 24_000, 2, "pcm_s16le", 1),
        AudioFormat("audio/pcmu", 8_000, 1, "pcm_mulaw", 7),
        AudioFormat("audio/pcma", 8_000, 1, "pcm_alaw", 6),
    )
}
"""A session's `format.type` -> the format."""
