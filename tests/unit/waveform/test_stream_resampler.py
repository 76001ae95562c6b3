"""Audio in pieces gives the same samples as a file."""

import io

import numpy as np
import pytest

from app.realtime.formats import FORMATS, AudioFormat
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from app.waveform.stream_resampler import StreamResampler


def noise(format: AudioFormat, milliseconds: int) -> bytes:
    return np.random.default_rng(7).bytes(milliseconds * format.bytes_per_ms)


def resampler(format: AudioFormat) -> StreamResampler:
    return StreamResampler(format.codec, format.rate, format.sample_bytes)


@pytest.mark.parametrize("piece", [7, 961, 48_000, 10_000_000])
@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_pieces_of_any_length(format: AudioFormat, piece: int) -> None:
    audio, stream = noise(format, 300), resampler(format)
    found = np.concatenate([stream.feed(audio[at : at + piece]) for at in range(0, len(audio), piece)])
    expected = read_audio(io.BytesIO(format.wav(audio)), AudioLimits())
    assert 0 <= len(expected) - len(found) <= 40
    assert np.array_equal(found, expected[: len(found)])


def test_half_a_sample_gives_nothing() -> None:
    stream = resampler(FORMATS["audio/pcm"])
    assert len(stream.feed(b"\1")) == 0
    assert len(stream.feed(b"")) == 0
