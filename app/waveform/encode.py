"""Speech -> audio files, piece by piece while it is synthesized."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from app.waveform import Pcm

SPEECH_RATE = 24_000
"""The sample rate of all speech, as OpenAI's."""

_AT_ONCE = {"flush_packets": "1"}
"""Write every packet at once; by default ffmpeg collects 32 kB, which is seconds of speech."""


@dataclass(frozen=True)
class Encoding:
    """An audio format: ffmpeg's names of container and codec, and what HTTP calls it.

    `finished`: the header has the length, so nothing can be sent before the end.
    """

    mimetype: str
    container: str
    codec: str
    bit_rate: int | None = None
    finished: bool = False


ENCODINGS = {
    "mp3": Encoding("audio/mpeg", "mp3", "libmp3lame", 64_000),
    "opus": Encoding("audio/opus", "ogg", "libopus", 32_000),
    "aac": Encoding("audio/aac", "adts", "aac", 64_000),
    "flac": Encoding("audio/flac", "flac", "flac"),
    "wav": Encoding("audio/wav", "wav", "pcm_s16le", finished=True),
    "pcm": Encoding("audio/pcm", "s16le", "pcm_s16le"),
}
"""OpenAI's names. `pcm` is bare 16-bit little-endian mono."""


class _Pieces:
    """A sink for the container. It can't be rewound, so every piece is final."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        """The bytes written since the last call."""
        piece, self._written = bytes(self._written), bytearray()
        return piece


def encoded(blocks: Iterable[Pcm], rate: int, encoding: Encoding) -> Iterator[bytes]:
    """Mono blocks `[n]` at `rate` as an audio file of 24 kHz: in pieces, or in one if `finished`."""
    if not encoding.finished:
        pieces = _Pieces()
        for _ in _written(blocks, rate, encoding, pieces):
            if piece := pieces.taken():
                yield piece
        return
    whole = io.BytesIO()
    for _ in _written(blocks, rate, encoding, whole):
        pass
    yield whole.getvalue()


def _written(
    blocks: Iterable[Pcm], rate: int, encoding: Encoding, sink: _Pieces | io.BytesIO
) -> Iterator[None]:
    """Encode block after block into `sink`; yields after each block and at the end."""
    with av.open(sink, "w", format=encoding.container, container_options=_AT_ONCE) as container:
        stream = container.add_stream(encoding.codec, rate=SPEECH_RATE, layout="mono")
        assert isinstance(stream, AudioStream)
        if encoding.bit_rate:
            stream.bit_rate = encoding.bit_rate
        for frame in chain((_frame(block, rate) for block in blocks), [None]):
            container.mux(stream.encode(frame))  # which resamples, too
            yield
    yield


def _frame(block: Pcm, rate: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    return frame
