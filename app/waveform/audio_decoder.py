"""The worker's side of one process that reads audio files."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from app.environment import bare_environ
from app.errors import InvalidRequest, UndecodableAudio
from app.waiting import Check, poll
from app.waveform import SAMPLE_RATE
from app.waveform.audio_decoder_process import MAX_BYTES, OUT_OF_MEMORY, OUT_OF_SPACE, READY
from app.waveform.audio_limits import MAX_CHANNELS, SHORTEST_SAMPLES, AudioLimits
from app.waveform.audio_refusals import UNDECODABLE, RefusalCode, audio_error
from app.waveform.error_output import ErrorOutput

GRACE_SECONDS = 3.0
"""How long a process may take to end by itself: at a file's time limit, and when its connection is closed."""

_START_SECONDS = 120.0
_ROOT = Path(__file__).resolve().parents[2]
_EXIT_REASONS = {
    OUT_OF_MEMORY: "needed more memory than it may take",
    OUT_OF_SPACE: "gave more samples than it may",
}
_ENVIRON = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc keeps a file's memory for the next one: new memory would take a third of a short file's time.
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}


class AudioDecoderLost(Exception):
    """A process has ended or must be ended; the message says why.

    `refusal` is the error for the file that it was reading. `by_file` is False if the file was not the
    cause: another process may read it.
    """

    def __init__(self, reason: str, refusal: InvalidRequest | None = None, *, by_file: bool = True) -> None:
        super().__init__(reason)
        self.refusal = refusal or UndecodableAudio(UNDECODABLE, param="file")
        self.by_file = by_file


class AudioDecoder:
    """A process that reads audio files: recordings of at most `max_seconds`.

    It may take `memory_bytes` more than it has at the start, and ends with the thread that made it. Its
    standard error is written to this process's log.
    """

    module = "app.waveform.audio_decoder_process"

    def __init__(self, max_seconds: float, memory_bytes: int) -> None:
        # Two channels of 16 bits, with a margin for resampling.
        self._most_bytes = int((max_seconds * 1.01 + 1) * SAMPLE_RATE) * 2 * 2
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection = ours
        with theirs:
            try:
                self._process = self._start_process(theirs.fileno(), memory_bytes)
            except BaseException:
                ours.close()
                raise
        assert self._process.stderr is not None
        self._errors = ErrorOutput(self._process.stderr.fileno(), self.pid)

    def _start_process(self, descriptor: int, memory_bytes: int) -> subprocess.Popen[bytes]:
        numbers = (descriptor, memory_bytes, self._most_bytes)
        return subprocess.Popen(
            [sys.executable, "-m", self.module, *map(str, numbers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=_ROOT,
            env=bare_environ(PYTHONPATH=os.pathsep.join(sys.path), **_ENVIRON),
            pass_fds=(descriptor,),
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is running (or stopped)."""
        return self._process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether it is stopped by SIGSTOP or the like."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended
            return False
        return state == "T"

    def await_ready(self) -> None:
        """Wait until it is ready for files. Raises AudioDecoderLost."""
        if self._receive(_START_SECONDS, lambda: None) != READY:
            raise AudioDecoderLost("did not start as it should")

    def read(
        self, upload: int, output: int, limits: AudioLimits, *, by_channel: bool, check: Check
    ) -> tuple[int, int]:
        """Let it read the file `upload` into `output`. Returns how many channels and samples it wrote.

        Raises UndecodableAudio, AudioTooShort, AudioTooLong, what `check` raises, and AudioDecoderLost.
        """
        request = {
            "by_channel": by_channel,
            "max_seconds": limits.max_seconds,
            "read_seconds": limits.read_seconds,
        }
        try:
            socket.send_fds(self._connection, [json.dumps(request).encode()], [upload, output])
        except OSError as error:
            raise AudioDecoderLost(str(self._exit_error()), by_file=False) from error
        too_slow = audio_error(RefusalCode.TOO_SLOW, limits)
        reply = self._receive(limits.read_seconds + GRACE_SECONDS, check, too_slow)
        channels, samples = _shape(reply, limits)
        size = os.fstat(output).st_size
        possible = 1 <= channels <= (MAX_CHANNELS if by_channel else 1) and samples >= SHORTEST_SAMPLES
        if not possible or size != 2 * channels * samples or size > self._most_bytes:
            raise AudioDecoderLost(f"answered with {channels} channels of {samples} samples in {size} bytes")
        return channels, samples

    def kill(self) -> None:
        """Kill the process. Any thread may call it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and the connection to it."""
        self.kill()
        self._errors.log()
        self._connection.close()
        if self._process.stderr:
            self._process.stderr.close()

    def _receive(self, seconds: float, check: Check, too_slow: InvalidRequest | None = None) -> bytes:
        """The next message. Raises AudioDecoderLost, and what `check` raises."""
        deadline = time.monotonic() + seconds

        def check_both_ends() -> None:
            check()
            self._errors.drain()
            if self.stopped:
                raise AudioDecoderLost("was stopped", by_file=False)
            if time.monotonic() > deadline:
                raise AudioDecoderLost(f"did not answer within {seconds:g} seconds", too_slow)

        reply = poll(self._received, check_both_ends)
        self._errors.log()
        return reply

    def _received(self, seconds: float) -> bytes:
        """A message, or b"" if none has come within `seconds`. Raises AudioDecoderLost."""
        self._connection.settimeout(seconds)
        try:
            if message := self._connection.recv(MAX_BYTES):
                return message
        except TimeoutError:
            return b""
        except ConnectionError:
            pass
        raise self._exit_error()

    def _exit_error(self) -> AudioDecoderLost:
        """Why the process ended, once it has closed its connection."""
        try:
            status = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return AudioDecoderLost("closed its connection")
        if status < 0:
            # No file can cause SIGKILL, but the kernel sends it when memory runs out, or an operator.
            by_file = status != -signal.SIGKILL
            name = signal.strsignal(-status)
            return AudioDecoderLost(f"was ended by signal {-status} ({name})", by_file=by_file)
        return AudioDecoderLost(_EXIT_REASONS.get(status, f"ended with status {status}"))


def _shape(reply: bytes, limits: AudioLimits) -> tuple[int, int]:
    """Channels and samples of a reply. Raises a refusal's error, AudioDecoderLost for an invalid reply."""
    try:
        fields = json.loads(reply)
        if "refused" in fields:
            raise audio_error(RefusalCode(fields["refused"]), limits, fields["number"])
        return int(fields["channels"]), int(fields["samples"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise AudioDecoderLost(f"answered {reply[:100]!r}") from error
