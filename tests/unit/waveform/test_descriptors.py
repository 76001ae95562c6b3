import os
from pathlib import Path

import numpy as np
import pytest

from app.errors import UndecodableAudio
from app.waveform import descriptors
from app.waveform.descriptors import memory_file, taken_samples


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("samples", [1, 6, 7, 8, 14, 20])
def test_samples_are_taken_in_blocks(channels: int, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_BLOCK_SAMPLES", 7)
    sent = np.random.default_rng(samples).integers(-32_768, 32_768, (samples, channels)).astype(np.int16)
    with memory_file("samples") as file:
        os.write(file, sent.tobytes())
        taken = taken_samples(file, channels, samples)
        assert os.fstat(file).st_size == 0
    assert (taken.dtype, taken.flags.c_contiguous) == (np.int16, True)
    np.testing.assert_array_equal(taken, sent.T)


def test_samples_that_are_cut_off_meanwhile() -> None:
    with memory_file("samples") as file:
        os.ftruncate(file, 3_198)
        with pytest.raises(UndecodableAudio) as caught:
            taken_samples(file, 1, 1_600)
    assert caught.value.param == "file"


def test_a_memory_file_is_gone_with_its_block() -> None:
    with memory_file("samples") as file:
        assert "memfd:samples" in str(Path(f"/proc/self/fd/{file}").readlink())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
