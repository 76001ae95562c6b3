"""What runs in the process itself; what it does for a worker is in test_audio_decoder_pool."""

import io
import os
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest

from app.waveform.audio_decoder_process import SharedFile
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits

FLAGSHIP = (Path(__file__).resolve().parents[2] / "data" / "flagship.wav").read_bytes()


def test_a_shared_file_reads_as_any_file_does() -> None:
    with TemporaryFile(buffering=0) as plain:
        plain.write(b"0123456789")
        shared, usual = SharedFile(plain.fileno()), io.BytesIO(b"0123456789")
        for offset, whence in ((0, 0), (4, 0), (2, 1), (-3, 1), (-2, 2), (0, 2), (5, 2), (9, 0)):
            assert shared.seek(offset, whence) == usual.seek(offset, whence)
            assert shared.tell() == usual.tell()
            assert shared.read(3) == usual.read(3)
            assert shared.tell() == usual.tell()
        with pytest.raises(ValueError, match="no place -1"):
            shared.seek(-1)


def test_filling_after_a_wav_file_is_walked_through_without_system_calls() -> None:
    """FFmpeg takes zeros for empty chunks, and seeks four times in each; the file's own offset stays."""
    with TemporaryFile(buffering=0) as file:
        file.write(FLAGSHIP + bytes(1 << 18))
        file.seek(7)
        seeks = 0

        class Counted(SharedFile):
            def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
                nonlocal seeks
                seeks += 1
                return super().seek(offset, whence)

        samples = read_audio(Counted(file.fileno()), AudioLimits())
        assert seeks > (1 << 18) / 8
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 7
    np.testing.assert_array_equal(samples, read_audio(io.BytesIO(FLAGSHIP), AudioLimits()))
