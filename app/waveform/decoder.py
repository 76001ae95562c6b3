"""One decoder process, seen from its worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from app.errors import AudioTooLong, AudioTooShort, InvalidRequest, UndecodableAudio
from app.settings import bare_environ
from app.waveform import SAMPLE_RATE
from app.waveform.decode import MOST_CHANNELS, SHORTEST_SAMPLES, UNDECODABLE
from app.waveform.decoder_process import MOST_BYTES, OUT_OF_MEMORY, OUT_OF_SPACE, READY
from app.waveform.error_output import ErrorOutput
from app.waveform.limits import DecodeLimits

Check = Callable[[], None]
"""Called four times a second while a request waits; raises once nobody waits for it any more."""

POLL_SECONDS = 0.25
GRACE_SECONDS = 3.0
"""A process ends by itself at a file's time limit, and once its connection is closed; if not, it hangs."""

_START_SECONDS = 120.0
_ROOT = Path(__file__).resolve().parents[2]
_REFUSALS = {refusal.__name__: refusal for refusal in (UndecodableAudio, AudioTooShort, AudioTooLong)}
_ENDS = {OUT_OF_MEMORY: "needed more memory than it may take", OUT_OF_SPACE: "gave more samples than it may"}
_ENVIRON = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc keeps what a file took for the next one; asking the system anew is a third of a short file's cost.
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}


class DecoderLost(Exception):
    """A process can't go on; says why. `refusal` is what the file is answered with that it was reading.

    `by_file` is False where the file had no part in it: it may be read by another process.
    """

    def __init__(self, reason: str, refusal: InvalidRequest | None = None, *, by_file: bool = True) -> None:
        super().__init__(reason)
        self.refusal = refusal or UndecodableAudio(UNDECODABLE, param="file")
        self.by_file = by_file


class Decoder:
    """A process that was started, for recordings of at most `max_seconds`.

    It may take no more than `memory_bytes` beyond what it starts with, and ends with the thread that
    made it. What it writes to its standard error becomes lines of this process's log.
    """

    module = "app.waveform.decoder_process"

    def __init__(self, max_seconds: float, memory_bytes: int) -> None:
        # Two channels, and what each change of the sample rate may add.
        self._most_bytes = int((max_seconds * 1.01 + 1) * SAMPLE_RATE) * 2 * 2
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(POLL_SECONDS)
        self._connection = ours
        with theirs:
            try:
                self._process = self._spawned(theirs.fileno(), memory_bytes)
            except BaseException:
                ours.close()
                raise
        assert self._process.stderr is not None
        self._errors = ErrorOutput(self._process.stderr.fileno(), self.pid)

    def _spawned(self, descriptor: int, memory_bytes: int) -> subprocess.Popen[bytes]:
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
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether it was sent SIGSTOP or the like: it is there and does nothing."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended
            return False
        return state == "T"

    def await_ready(self) -> None:
        """Wait until it takes files. Raises DecoderLost."""
        if self._receive(_START_SECONDS, lambda: None) != READY:
            raise DecoderLost("did not start as it should")

    def decode(
        self, upload: int, output: int, limits: DecodeLimits, *, by_channel: bool, check: Check
    ) -> tuple[int, int]:
        """Let it read the file `upload`: the channels and samples of 16 bits that `output` then holds.

        Raises UndecodableAudio, AudioTooShort, AudioTooLong, what `check` raises, and DecoderLost.
        """
        job = json.dumps({"by_channel": by_channel, **asdict(limits)})
        try:
            socket.send_fds(self._connection, [job.encode()], [upload, output])
        except OSError as error:
            raise DecoderLost(str(self._end()), by_file=False) from error
        reply = self._receive(limits.decode_seconds + GRACE_SECONDS, check, limits.too_slow())
        channels, samples = _shape(reply)
        size = os.fstat(output).st_size
        sound = 1 <= channels <= (MOST_CHANNELS if by_channel else 1) and samples >= SHORTEST_SAMPLES
        if not sound or size != 2 * channels * samples or size > self._most_bytes:
            raise DecoderLost(f"answered with {channels} channels of {samples} samples in {size} bytes")
        return channels, samples

    def kill(self) -> None:
        """End the process, whatever it does. Any thread may do so."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and the connection to it."""
        self.kill()
        self._errors.log()
        self._connection.close()
        if self._process.stderr:
            self._process.stderr.close()

    def _receive(self, seconds: float, check: Check, too_slow: AudioTooLong | None = None) -> bytes:
        deadline = time.monotonic() + seconds
        while not (reply := self._received()):
            check()
            self._errors.drain()
            if self.stopped:
                raise DecoderLost("was stopped", by_file=False)
            if time.monotonic() > deadline:
                raise DecoderLost(f"did not answer within {seconds:g} seconds", too_slow)
        self._errors.log()
        return reply

    def _received(self) -> bytes:
        """A message, or b"" if none has come for a while. Raises DecoderLost."""
        try:
            if message := self._connection.recv(MOST_BYTES):
                return message
        except TimeoutError:
            return b""
        except ConnectionError:
            pass
        raise self._end()

    def _end(self) -> DecoderLost:
        """How the process has ended, which has closed its connection."""
        try:
            status = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return DecoderLost("closed its connection")
        if status < 0:
            # Nothing that a file can do ends in SIGKILL, but a machine without memory does, or an operator.
            by_file = status != -signal.SIGKILL
            name = signal.strsignal(-status)
            return DecoderLost(f"was ended by signal {-status} ({name})", by_file=by_file)
        return DecoderLost(_ENDS.get(status, f"ended with status {status}"))


def _shape(reply: bytes) -> tuple[int, int]:
    """Channels and samples of a reply. Raises the refusal it may be instead, or DecoderLost for nonsense."""
    try:
        answer = json.loads(reply)
        if "refused" in answer:
            raise _REFUSALS[answer["refused"]](str(answer["message"]), param="file")
        return int(answer["channels"]), int(answer["samples"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise DecoderLost(f"answered {reply[:100]!r}") from error
