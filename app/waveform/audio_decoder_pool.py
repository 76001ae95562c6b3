"""A worker's processes that read audio files.

If a file crashes FFmpeg, hangs it or makes it take too much memory, its request gets a 400, and a new
process is started. If a process is killed or stopped from outside, another one reads the file. Replies
are checked, because a hostile file may control its process.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import BinaryIO

from app.errors import InvalidRequest, ServerBusy, StartError
from app.waiting import Check, wait_for
from app.waveform import Pcm
from app.waveform.audio_decoder import AudioDecoder, AudioDecoderLost
from app.waveform.audio_limits import AudioLimits
from app.waveform.descriptors import descriptor_of, memory_file, taken_samples

MEMORY_BYTES = 1 << 30
"""Far more than any audio file needs: samples are written block by block."""

_MAX_PROCESSES_BY_CORES = 4
_RETRY_SECONDS = 1.0
_TRIES = 2
_BUSY_SECONDS = 5

_log = logging.getLogger(__name__)


class AudioDecoderPool:
    """`count` decoder processes (0: one per core, at most 4). Make it after the fork only.

    They read recordings of at most `max_seconds`. `on_restart()` is called for each process that is lost and
    replaced, but not for those that are killed because the client has gone.
    """

    def __init__(
        self,
        count: int,
        max_seconds: float,
        on_restart: Callable[[], None],
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._on_restart = on_restart
        self._max_seconds = max_seconds
        self._memory_bytes = memory_bytes
        self._lock = Lock()
        self._closed = Event()
        self._started: set[AudioDecoder] = set()
        self._idle: deque[AudioDecoder] = deque()
        self._waiting: deque[Future[AudioDecoder]] = deque()
        count = count or min(_MAX_PROCESSES_BY_CORES, len(os.sched_getaffinity(0)))
        # A process ends with the thread that made it, so these threads do nothing else and stay.
        self._starters = ThreadPoolExecutor(count, thread_name_prefix="decoder-starter")
        self._first = [self._starters.submit(self._start) for _ in range(count)]

    def wait_until_started(self) -> None:
        """Raises StartError if a process can't be started."""
        for started in self._first:
            try:
                started.result()
            except (OSError, AudioDecoderLost) as error:
                raise StartError(f"The process that reads audio files can't be started: {error}.") from error

    def read_audio(self, file: BinaryIO, limits: AudioLimits, *, by_channel: bool, check: Check) -> Pcm:
        """An audio file as 16-bit samples at 16 kHz: `[n]`, or `[channels, n]`. Files are read in order.

        Raises UndecodableAudio, AudioTooShort, AudioTooLong, what `check` raises, and ServerBusy when closed
        or when two processes were lost for which the file was not the cause.
        """
        with descriptor_of(file) as upload:
            for _ in range(_TRIES):
                try:
                    samples = self._read(upload, limits, by_channel=by_channel, check=check)
                except AudioDecoderLost as lost:
                    self._require_open()
                    if lost.by_file:
                        raise lost.refusal from lost
                else:
                    return samples if by_channel else samples[0]
        raise ServerBusy(
            "The processes that read the audio file were ended. Please retry.",
            retry_after_seconds=_BUSY_SECONDS,
        )

    def _read(self, upload: int, limits: AudioLimits, *, by_channel: bool, check: Check) -> Pcm:
        with memory_file("samples") as output:
            with self._leased(check) as decoder:
                shape = decoder.read(upload, output, limits, by_channel=by_channel, check=check)
            return taken_samples(output, *shape)

    def close(self) -> None:
        """End all processes. Waiting and running calls raise ServerBusy."""
        with self._lock:
            self._closed.set()
            for lease in self._waiting:
                lease.cancel()
            started = list(self._started)
        for decoder in started:
            decoder.kill()
        self._starters.shutdown()
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _leased(self, check: Check) -> Iterator[AudioDecoder]:
        decoder = self._acquire(check)
        try:
            yield decoder
        except InvalidRequest:
            raise  # the process is ready for the next file
        except AudioDecoderLost as lost:
            self._discard(decoder, lost)
            raise
        except BaseException:
            decoder.kill()
            raise
        finally:
            self._return_decoder(decoder)

    def _acquire(self, check: Check) -> AudioDecoder:
        """A running decoder, when it is this request's turn."""
        while True:
            decoder = self._wait(check)
            if decoder.alive and not decoder.stopped:
                return decoder
            state = "was stopped" if decoder.alive else "ended"
            self._discard(decoder, AudioDecoderLost(f"{state} while it had nothing to do"))
            self._return_decoder(decoder)

    def _wait(self, check: Check) -> AudioDecoder:
        lease: Future[AudioDecoder] = Future()
        with self._lock:
            self._require_open()
            self._waiting.append(lease)
            self._match_leases()
        try:
            return wait_for(lease, check)
        except CancelledError:
            self._require_open()
            raise
        except BaseException:
            if not lease.cancel():
                self._return_decoder(lease.result())
            raise

    def _match_leases(self) -> None:
        """Give idle decoders to the requests that have waited longest. Called with the lock held."""
        while self._idle and self._waiting:
            lease = self._waiting.popleft()
            if lease.set_running_or_notify_cancel():
                lease.set_result(self._idle.popleft())

    def _return_decoder(self, decoder: AudioDecoder) -> None:
        """Make it available, or start another one if it has ended."""
        with self._lock:
            if decoder.alive and not self._closed.is_set():
                self._idle.append(decoder)
                self._match_leases()
                return
            self._started.discard(decoder)
            if not self._closed.is_set():
                self._starters.submit(self._restart)
        decoder.close()

    def _discard(self, decoder: AudioDecoder, reason: AudioDecoderLost) -> None:
        decoder.kill()
        if not self._closed.is_set():
            self._on_restart()
            _log.warning("Decoder process %d %s; another one is started", decoder.pid, reason)

    def _start(self) -> None:
        decoder = AudioDecoder(self._max_seconds, self._memory_bytes)
        with self._lock:
            self._started.add(decoder)
            if self._closed.is_set():
                decoder.kill()
        try:
            decoder.await_ready()
        except AudioDecoderLost:
            with self._lock:
                self._started.discard(decoder)
            decoder.close()
            raise
        self._return_decoder(decoder)

    def _restart(self) -> None:
        while not self._closed.is_set():
            try:
                return self._start()
            except (OSError, AudioDecoderLost) as error:
                if not self._closed.wait(_RETRY_SECONDS):
                    _log.warning("A decoder process can't be started: %s", error)
        return None

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise ServerBusy("The server is stopping. Please retry.")
