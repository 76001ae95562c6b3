"""Samples without a header -> a WAV file."""

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from app.waveform import SAMPLE_RATE

_CHUNK_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 512 * 1024
_SAMPLE_BYTES = 2


@contextmanager
def as_wav(pcm: BinaryIO) -> Iterator[BinaryIO]:
    """16 kHz mono samples of 16 bits, low byte first, as a WAV file on disk; half a sample at the end is cut.

    Raises OSError where the disk is full.
    """
    with SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        with wave.open(cast(BytesIO, file), "wb") as header:
            header.setparams((1, _SAMPLE_BYTES, SAMPLE_RATE, 0, "NONE", ""))
            while chunk := pcm.read(_CHUNK_BYTES):
                header.writeframesraw(chunk[: len(chunk) - len(chunk) % _SAMPLE_BYTES])
        file.seek(0)
        yield cast(BinaryIO, file)
