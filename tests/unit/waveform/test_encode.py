"""Encoded speech, read back by this server's own decoder and by others."""

import io
import wave
from collections.abc import Iterator

import av
import numpy as np
import pytest

from app.waveform import Pcm
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from app.waveform.encode import ENCODINGS, SPEECH_RATE, encoded

SECONDS = 3.0


def tone(rate: int, hertz: float = 440.0) -> Pcm:
    times = np.arange(round(rate * SECONDS)) / rate
    return (np.sin(2 * np.pi * hertz * times) * 10_000).astype(np.int16)


def blocks(samples: Pcm, size: int = 4_410) -> Iterator[Pcm]:
    return (samples[first : first + size] for first in range(0, len(samples), size))


@pytest.mark.parametrize("rate", [22_050, 24_000, 16_000])
@pytest.mark.parametrize("form", [form for form in ENCODINGS if form != "pcm"])
def test_what_is_decoded_is_what_was_spoken(form: str, rate: int) -> None:
    data = b"".join(encoded(blocks(tone(rate)), rate, ENCODINGS[form]))
    heard = read_audio(io.BytesIO(data), AudioLimits())
    assert len(heard) / 16_000 == pytest.approx(SECONDS, abs=0.1)
    middle = heard[16_000:32_000]
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    assert np.abs(middle).max() == pytest.approx(10_000, rel=0.05)


def test_pcm_is_bare_24_khz() -> None:
    data = b"".join(encoded(blocks(tone(24_000)), 24_000, ENCODINGS["pcm"]))
    assert np.frombuffer(data, "<i2").tolist() == tone(24_000).tolist()
    data = b"".join(encoded(blocks(tone(22_050)), 22_050, ENCODINGS["pcm"]))
    assert len(data) == pytest.approx(SECONDS * SPEECH_RATE * 2, abs=200)


def test_a_wav_header_is_right() -> None:
    [data] = encoded(blocks(tone(22_050)), 22_050, ENCODINGS["wav"])
    with wave.open(io.BytesIO(data)) as read:
        assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (24_000, 1, 2)
        assert len(read.readframes(10_000_000)) == read.getnframes() * 2
    assert int.from_bytes(data[4:8], "little") == len(data) - 8


@pytest.mark.parametrize("form", [name for name, encoding in ENCODINGS.items() if not encoding.finished])
def test_pieces_come_while_it_is_spoken(form: str) -> None:
    spoken = 0

    def speaking() -> Iterator[Pcm]:
        nonlocal spoken
        for block in blocks(np.tile(tone(22_050), 20)):
            spoken += 1
            yield block

    pieces = encoded(speaking(), 22_050, ENCODINGS[form])
    sizes = [len(next(pieces)) for _ in range(3)]
    assert min(sizes) > 0
    assert spoken < 60  # of 300


@pytest.mark.parametrize(
    ("form", "codec"), [("mp3", "mp3"), ("opus", "opus"), ("aac", "aac"), ("flac", "flac")]
)
def test_the_format_is_what_it_says(form: str, codec: str) -> None:
    data = b"".join(encoded(blocks(tone(22_050)), 22_050, ENCODINGS[form]))
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.audio[0].codec_context.name.startswith(codec)
        assert container.streams.audio[0].codec_context.sample_rate in (24_000, 48_000)  # opus is always 48
