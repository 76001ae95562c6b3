import io

import numpy as np
import pytest

from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from app.waveform.raw_pcm import as_wav


@pytest.mark.parametrize("count", [1_600, 400_000, 1_000_000], ids=["small", "on disk", "in chunks"])
@pytest.mark.parametrize("half", [b"", b"\x01"], ids=["", "half a sample more"])
def test_samples_are_the_same(count: int, half: bytes) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, count, dtype="<i2")
    with as_wav(io.BytesIO(samples.tobytes() + half)) as file:
        assert np.array_equal(read_audio(file, AudioLimits()), samples)


def test_no_sample_is_a_file_without_any() -> None:
    with as_wav(io.BytesIO()) as file:
        assert len(file.read()) == 44
