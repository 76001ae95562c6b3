"""The audio that a client appends: what is not committed yet, and the turns in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from app.realtime.formats import AudioFormat
from app.realtime.input_buffer import InputBuffer
from app.realtime.interface import SpeechStarted, TurnDetector
from app.waveform import SAMPLE_RATE, STEP, Pcm, Samples
from app.waveform.stream_resampler import StreamResampler

LONGEST_TURN_MS = 300_000
"""A turn that the detector doesn't end is ended here."""

_SAMPLES_PER_MS = SAMPLE_RATE // 1000
_BYTES = 2
"""Of a sample."""
_STEP_MS = 1_000
"""The most audio that is looked at, at a time: what is found in it is settled before more is held."""
_LEAST_MS = 96
"""The least: three of the detector's frames. Clients send pieces of 20 ms, and each look has its price."""
_KEPT_MS = 12_000
"""How much is kept of what may be silence: the longest padding before a turn, and a margin."""


@dataclass(frozen=True)
class TurnStarted:
    """Somebody has begun to speak."""

    at_ms: int


@dataclass(frozen=True)
class TurnEnded:
    """An utterance is complete."""

    at_ms: int
    audio: bytes = field(repr=False)


class InputAudio:
    """All times are milliseconds of all the audio that was appended.

    Without a `detector` nothing is a turn, and all audio is kept until it is taken.
    """

    def __init__(self, format: AudioFormat, detector: TurnDetector | None) -> None:
        self._buffer = InputBuffer(format)
        self._detector = detector
        self._turn_ms: int | None = None
        self._start_hearing()

    @property
    def format(self) -> AudioFormat:
        """What is appended."""
        return self._buffer.format

    @property
    def now_ms(self) -> int:
        """The session's clock."""
        return self._buffer.end_ms

    @property
    def milliseconds(self) -> float:
        """How much audio is not taken yet."""
        return self._buffer.milliseconds

    @property
    def in_utterance(self) -> bool:
        """Whether an utterance is under way: a turn, or without a detector any audio."""
        return self._turn_ms is not None if self._detector else self._buffer.milliseconds > 0

    def append(self, audio: bytes) -> Iterator[TurnStarted | TurnEnded]:
        """Add audio; what is found in it. It must be iterated over to its end."""
        step = _STEP_MS * self.format.bytes_per_ms
        for start in range(0, len(audio), step):
            piece = audio[start : start + step]
            self._buffer.append(piece)
            self._unheard += piece
            if len(self._unheard) >= _LEAST_MS * self.format.bytes_per_ms:
                samples = self._hear()
                if self._detector:
                    yield from self._turns(self._detector, samples * STEP)

    def so_far(self, begin: int, most: int) -> Samples:
        """At most so many 16 kHz samples of the utterance that is under way, from number `begin` on.

        The last tenth of a second is not among them yet. Nothing else is copied.
        """
        start_ms = self._buffer.start_ms if self._turn_ms is None else self._turn_ms
        first = max(0, start_ms * _SAMPLES_PER_MS - self._first_sample) + begin
        copied = self._samples[_BYTES * first : _BYTES * (first + most)]
        return np.frombuffer(copied, np.int16) * STEP

    def take(self) -> bytes:
        """Remove and return all audio: the utterance that the client commits."""
        audio = self._buffer.take_all()
        self._forget()
        return audio

    def clear(self) -> None:
        """Remove all audio."""
        self._buffer.clear()
        self._forget()

    def configure(self, format: AudioFormat, detector: TurnDetector | None) -> None:
        """From now on audio has another format, for which there must be none left, or another detector.

        A turn that is under way goes on as an utterance that the client commits, if there is no detector.
        """
        self._hear()
        if self._detector:
            self._keep_from(self.now_ms if self._turn_ms is None else self._turn_ms)
        if format != self.format:
            self._buffer.change_format(format)
            self._start_hearing()
        self._detector = detector
        self._turn_ms = None
        if detector:
            detector.reset(self.now_ms)

    def _hear(self) -> Pcm:
        samples = self._resampler.feed(bytes(self._unheard))
        self._unheard.clear()
        self._samples += samples.tobytes()
        return samples

    def _turns(self, detector: TurnDetector, samples: Samples) -> Iterator[TurnStarted | TurnEnded]:
        for event in detector.feed(samples):
            if isinstance(event, SpeechStarted):
                self._turn_ms = max(event.at_ms, self._buffer.start_ms)
                yield TurnStarted(self._turn_ms)
            elif self._turn_ms is not None:
                yield self._end_turn(self._turn_ms, event.at_ms)
        if self._turn_ms is None:
            self._keep_from(self.now_ms - _KEPT_MS)
        elif self.now_ms - self._turn_ms >= LONGEST_TURN_MS:
            yield self._end_turn(self._turn_ms, self.now_ms)
            self._forget()

    def _end_turn(self, start_ms: int, end_ms: int) -> TurnEnded:
        self._turn_ms = None
        ended = TurnEnded(min(end_ms, self.now_ms), self._buffer.take(start_ms, end_ms))
        self._drop_samples(self._buffer.start_ms)
        return ended

    def _keep_from(self, start_ms: int) -> None:
        self._buffer.take(start_ms, start_ms)
        self._drop_samples(start_ms)

    def _drop_samples(self, before_ms: int) -> None:
        """Drop what was heard before a time."""
        before = max(0, before_ms * _SAMPLES_PER_MS - self._first_sample)
        dropped = min(before, len(self._samples) // _BYTES)
        del self._samples[: _BYTES * dropped]
        self._first_sample += dropped

    def _forget(self) -> None:
        self._start_hearing()
        self._turn_ms = None
        if self._detector:
            self._detector.reset(self.now_ms)

    def _start_hearing(self) -> None:
        self._resampler = StreamResampler(self.format.codec, self.format.rate, self.format.sample_bytes)
        self._unheard = bytearray()
        self._samples = bytearray()
        self._first_sample = self.now_ms * _SAMPLES_PER_MS  # how many came before, in the whole session
