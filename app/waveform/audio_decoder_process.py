"""A process that reads audio files for a worker: `python -m app.waveform.audio_decoder_process`.

It has no model, no port and no secret, so that a file which makes FFmpeg crash, hang or take too much
memory ends nothing but this process. `app.waveform.audio_decoder_pool` starts it.

A request is one JSON object over the socket, `by_channel`, `max_seconds` and `read_seconds`, with two
descriptors: the file, and an empty one for the samples (16 bits, interleaved channels). The reply is a JSON
object too: `channels` and `samples`, or `refused` and `number`, a RefusalCode and its number. The worker
makes the error message.
"""

import errno
import io
import json
import os
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import BinaryIO, cast

# PyAV imports these when it meets subtitles, which is too late: the filter lets no library be loaded.
import av.subtitles.codeccontext
import av.subtitles.stream  # noqa: F401
import numpy as np

from app.confinement import confine, filter_system_calls, limit_cpu
from app.waveform import Pcm
from app.waveform.audio_file import audio_blocks
from app.waveform.audio_limits import AudioLimits
from app.waveform.audio_refusals import AudioRefused

READY = b"ready"
MAX_BYTES = 65_536
"""Of a message."""
OUT_OF_MEMORY, OUT_OF_SPACE = errno.ENOMEM, errno.EFBIG
"""Exit statuses."""

_SPARE_CPU_SECONDS = 5
"""The worker enforces the time limit; this is for the case that it can't."""


class SharedFile:
    """A file that another process has open too, read without moving the shared offset.

    Seeking costs no system call: FFmpeg seeks four times for every 8 bytes of zeros after a WAV file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset from the start, from here or from the end; ValueError if it is before the start."""
        position = offset + (0, self._position, self._size)[whence]
        if position < 0:
            raise ValueError(f"There is no place {position}.")
        self._position = position
        return position

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._position

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end."""
        chunk = os.pread(self._descriptor, size, self._position)
        self._position += len(chunk)
        return chunk


def serve(connection: socket.socket) -> None:
    """Read one file after the other until the other end of the socket is closed."""
    connection.send(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, MAX_BYTES, 2)
        if not message:
            return
        upload, output = descriptors
        request = json.loads(message)
        mixed, limits = not request.pop("by_channel"), AudioLimits(**request)
        limit_cpu(limits.read_seconds + _SPARE_CPU_SECONDS)
        reply = _reply(upload, output, limits, mixed=mixed)
        os.close(upload)
        os.close(output)
        connection.send(json.dumps(reply).encode())


def main(arguments: list[str], work: Callable[[socket.socket], None] = serve) -> None:
    """Confine the process, then do the work at a socket.

    `arguments`: its descriptor, and the most bytes of memory and of samples.
    """
    descriptor, memory, output = map(int, arguments)
    confine(memory, output)
    # Left open: its end, at the end of this process, is what the worker notices.
    connection = socket.socket(fileno=descriptor)
    if not filter_system_calls():
        print("runs without a filter of system calls: see `python -m app doctor`", file=sys.stderr)
    with suppress(ConnectionError):
        work(connection)


def _reply(upload: int, output: int, limits: AudioLimits, *, mixed: bool) -> dict[str, float | str]:
    file = cast(BinaryIO, SharedFile(upload))
    try:
        channels, samples = _write(audio_blocks(file, limits, mixed=mixed), output)
    except AudioRefused as refused:
        if isinstance(refused.__cause__, MemoryError):
            os._exit(OUT_OF_MEMORY)
        return {"refused": refused.code, "number": refused.number}
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except OSError as error:
        os._exit(error.errno or 1)
    return {"channels": channels, "samples": samples}


def _write(blocks: Iterable[Pcm], output: int) -> tuple[int, int]:
    """How many channels and samples there are."""
    channels = samples = 0
    with open(output, "wb", buffering=0, closefd=False) as file:
        for block in blocks:
            channels, length = block.shape
            samples += length
            _write_all(file, np.ascontiguousarray(block.T).data.cast("B"))
    return channels, samples


def _write_all(file: io.FileIO, rest: memoryview) -> None:
    while rest:
        rest = rest[file.write(rest) :]


if __name__ == "__main__":
    main(sys.argv[1:])
