"""Files as people upload them."""

import io

import pytest

from app.waveform import STEP
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from benchmarks.recordings import CODECS, encode, speech


@pytest.mark.parametrize("container", CODECS)
def test_what_is_encoded_is_decoded_again(container: str) -> None:
    said = speech(3)
    assert said.shape == (48_000,)
    heard = read_audio(io.BytesIO(encode(said, container)), AudioLimits()) * STEP
    assert len(heard) == pytest.approx(48_000, abs=2_500)
    assert heard.std() == pytest.approx(said.std(), rel=0.1)
