"""Files and samples as descriptors, which a worker shares with its decoder processes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from app.errors import UndecodableAudio
from app.waveform import Pcm
from app.waveform.audio_refusals import UNDECODABLE

_BLOCK_SAMPLES = 1 << 20


@contextmanager
def memory_file(name: str) -> Iterator[int]:
    """The descriptor of an empty file in memory, without a path."""
    descriptor = os.memfd_create(name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def descriptor_of(file: BinaryIO) -> Iterator[int]:
    """The descriptor of a file, or of a copy in memory if it has none."""
    # A small upload is in memory and has no name yet; `fileno()` would write it to the disk.
    if getattr(file, "name", None) is not None:
        file.flush()
        yield file.fileno()
        return
    with memory_file("upload") as descriptor:
        file.seek(0)
        with open(descriptor, "wb", closefd=False) as copy:
            shutil.copyfileobj(file, copy)
        yield descriptor


def taken_samples(descriptor: int, channels: int, samples: int) -> Pcm:
    """`[channels, samples]` of a file `[samples, channels]`, both of 16 bits. Empties the file.

    It is read from the end and truncated, so that its memory is freed while the result grows. It is not
    mapped, because the decoder process could truncate it: that raises UndecodableAudio here.
    """
    taken = np.empty((channels, samples), np.int16)
    block = np.empty((min(samples, _BLOCK_SAMPLES), channels), np.int16)
    for start in range((samples - 1) // _BLOCK_SAMPLES * _BLOCK_SAMPLES, -1, -_BLOCK_SAMPLES):
        part = block[: samples - start]
        _read_all(descriptor, part.data.cast("B"), start * part.strides[0])
        taken[:, start : start + len(part)] = part.T
        os.ftruncate(descriptor, start * part.strides[0])
    return taken


def _read_all(descriptor: int, rest: memoryview, offset: int) -> None:
    while rest:
        length = os.preadv(descriptor, [rest], offset)
        if not length:
            raise UndecodableAudio(UNDECODABLE, param="file")
        rest, offset = rest[length:], offset + length
