"""The standard error of a decoder process, part of which its worker logs."""

import logging
import os
from contextlib import suppress

MAX_BYTES = 4_096
"""The most that is logged for one file; the rest is counted."""
MAX_LINES = 40

_PIPE_BYTES = 65_536
_MAX_PIPES = 16
"""The most reads of one `drain`, for a process that never stops writing."""

_log = logging.getLogger(__name__)


class ErrorOutput:
    """The read end of the pipe that is standard error of the process `pid`. Not thread-safe."""

    def __init__(self, pipe: int, pid: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._pid = pid
        self._kept = b""
        self._left_out = 0

    def drain(self) -> None:
        """Empty the pipe, so that the process isn't blocked for long."""
        with suppress(BlockingIOError):
            for _ in range(_MAX_PIPES):
                written = os.read(self._pipe, _PIPE_BYTES)
                if not written:
                    return
                room = MAX_BYTES - len(self._kept)
                self._kept += written[:room]
                self._left_out += len(written[room:])

    def log(self) -> None:
        """Log the output since the last call, escaped, as warnings."""
        self.drain()
        lines = self._kept.splitlines()
        left_out = self._left_out + sum(map(len, lines[MAX_LINES:]))
        self._kept, self._left_out = b"", 0
        for line in lines[:MAX_LINES]:
            _log.warning("Decoder process %d wrote %r", self._pid, line.decode(errors="backslashreplace"))
        if left_out:
            _log.warning("Decoder process %d wrote %d bytes more", self._pid, left_out)
