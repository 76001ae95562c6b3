"""Audio without a header that is still coming -> 16 kHz samples."""

from collections.abc import Iterator

import numpy as np
from av import AudioFrame, AudioResampler, CodecContext, Packet
from av.audio.codeccontext import AudioCodecContext

from app.waveform import SAMPLE_RATE, Pcm

_BLOCK_BYTES = 64 * 1024
"""Even, so that no block ends within a sample if the audio doesn't."""


class StreamResampler:
    """Decodes mono audio of FFmpeg's `codec` at `rate`. A few samples stay in it until more audio comes."""

    def __init__(self, codec: str, rate: int, sample_bytes: int) -> None:
        decoder = CodecContext.create(codec, "r")
        assert isinstance(decoder, AudioCodecContext)
        decoder.sample_rate = rate
        decoder.layout = "mono"
        self._decoder = decoder
        self._sample_bytes = sample_bytes
        self._resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
        self._rest = b""

    def feed(self, audio: bytes) -> Pcm:
        """The samples of the next audio, any number of bytes."""
        audio = self._rest + audio
        whole = len(audio) // self._sample_bytes * self._sample_bytes
        self._rest = audio[whole:]
        blocks = [
            frame.to_ndarray()[0]
            for start in range(0, whole, _BLOCK_BYTES)
            for frame in self._frames(audio[start : min(whole, start + _BLOCK_BYTES)])
        ]
        return np.concatenate([np.empty(0, np.int16), *blocks])

    def _frames(self, block: bytes) -> Iterator[AudioFrame]:
        for frame in self._decoder.decode(Packet(block)):
            frame.pts = None
            yield from self._resampler.resample(frame)
