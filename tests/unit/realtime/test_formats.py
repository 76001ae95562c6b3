import io
import wave

import pytest

from app.realtime.formats import FORMATS
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits


def test_pcm_is_a_wav_file() -> None:
    with wave.open(io.BytesIO(FORMATS["audio/pcm"].wav(bytes(range(200)) + b"\1"))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.readframes(1000) == bytes(range(200))


@pytest.mark.parametrize("name", FORMATS)
def test_the_decoder_reads_it(name: str) -> None:
    format = FORMATS[name]
    samples = read_audio(io.BytesIO(format.wav(b"\x55\x10" * 500 * format.bytes_per_ms)), AudioLimits())
    assert len(samples) == pytest.approx(16_000, abs=20)


def test_only_pcm_has_a_rate() -> None:
    assert [known.described for known in FORMATS.values()] == [
        {"type": "audio/pcm", "rate": 24_000},
        {"type": "audio/pcmu"},
        {"type": "audio/pcma"},
    ]
