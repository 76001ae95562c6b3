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
from app.waveform.limits import DecodeLimits

Check = Callable[[], None]
"""Called four times a second while a request waits; raises once nobody waits for it any more."""

POLL_SECONDS = 0.25
GRACE_SECONDS = 3.0
"""A process ends by itself at a file's time limit; this much later it hangs."""

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
    """A process can't go on; says why. `refusal` is what the file is answered with that it was reading."""

    def __init__(self, reason: str, refusal: InvalidRequest | None = None) -> None:
        super().__init__(reason)
        self.refusal = refusal or UndecodableAudio(UNDECODABLE, param="file")


class Decoder:
    """A process that was started, for recordings of at most `max_seconds`.

    It may take no more than `memory_bytes` beyond what it starts with, and ends with the thread that
    made it.
    """

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

    def _spawned(self, descriptor: int, memory_bytes: int) -> subprocess.Popen[bytes]:
        numbers = (descriptor, memory_bytes, self._most_bytes)
        return subprocess.Popen(
            [sys.executable, "-m", "app.waveform.decoder_process", *map(str, numbers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
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
            raise DecoderLost(self._end()) from error
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
        self._connection.close()

    def _receive(self, seconds: float, check: Check, too_slow: AudioTooLong | None = None) -> bytes:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            check()
            try:
                reply = self._connection.recv(MOST_BYTES)
            except TimeoutError:
                continue
            except ConnectionError:
                reply = b""
            if not reply:
                raise DecoderLost(self._end())
            return reply
        raise DecoderLost(f"did not answer within {seconds:g} seconds", too_slow)

    def _end(self) -> str:
        """How the process, which is ending, has ended."""
        self.kill()  # one that only closed its connection would not end; others keep their status
        status = self._process.returncode
        if status < 0:
            return f"was ended by signal {-status} ({signal.strsignal(-status)})"
        return _ENDS.get(status, f"ended with status {status}")


def _shape(reply: bytes) -> tuple[int, int]:
    """Channels and samples of a reply. Raises the refusal it may be instead, or DecoderLost for nonsense."""
    try:
        answer = json.loads(reply)
        if "refused" in answer:
            raise _REFUSALS[answer["refused"]](str(answer["message"]), param="file")
        return int(answer["channels"]), int(answer["samples"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise DecoderLost(f"answered {reply[:100]!r}") from error
