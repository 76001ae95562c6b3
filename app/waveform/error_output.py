"""What a decoder process writes to its standard error: read by its worker, which logs some of it."""

import logging
import os
from contextlib import suppress

MOST_BYTES = 4_096
"""Logged of what is written while one file is read; the rest is counted."""
MOST_LINES = 40

_PIPE_BYTES = 65_536
_MOST_PIPES = 16
"""Emptied at a time: a process that never stops writing keeps nobody."""

_log = logging.getLogger(__name__)


class ErrorOutput:
    """One end of a pipe, whose other end the process `pid` has. Not for several threads at a time."""

    def __init__(self, pipe: int, pid: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._pid = pid
        self._kept = b""
        self._left_out = 0

    def drain(self) -> None:
        """Empty the pipe, so that the process never waits for room in it for long."""
        with suppress(BlockingIOError):
            for _ in range(_MOST_PIPES):
                written = os.read(self._pipe, _PIPE_BYTES)
                if not written:
                    return
                room = MOST_BYTES - len(self._kept)
                self._kept += written[:room]
                self._left_out += len(written[room:])

    def log(self) -> None:
        """Log what has come since the last time, escaped, as warnings of this process."""
        self.drain()
        lines = self._kept.splitlines()
        left_out = self._left_out + sum(map(len, lines[MOST_LINES:]))
        self._kept, self._left_out = b"", 0
        for line in lines[:MOST_LINES]:
            _log.warning("Decoder process %d wrote %r", self._pid, line.decode(errors="backslashreplace"))
        if left_out:
            _log.warning("Decoder process %d wrote %d bytes more", self._pid, left_out)
