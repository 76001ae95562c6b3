"""A request to transcribe one recording, and the server's policy."""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.engines.interface import DecodingOptions
from app.transcript import AudioContext, Task
from app.transcription.side_by_side import SideBySide
from app.waveform import SAMPLE_RATE, Samples

HasSpeech = Callable[[Samples, float], bool]
"""Whether the highest speech probability in 16 kHz samples reaches a floor."""

LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Chunking:
    """Where a recording may be cut: at pauses of `silence_seconds`, in which the probability of speech
    stays under `threshold`. Each piece keeps up to `padding_seconds` of the pauses beside it.
    """

    threshold: float = 0.5
    silence_seconds: float = 0.2
    padding_seconds: float = 0.3


@dataclass(frozen=True)
class TranscriptionRequest:
    """One recording's options, under openai-whisper's names and with `transcribe()`'s defaults.

    `language` is a code or None (detect, among `languages` if there are any). `temperatures` are
    tried in order until a window's result passes the thresholds. `clip_seconds` are
    start,end,start,... in seconds of the recording. With `chunking` the recording is cut at pauses and
    the pieces are decoded side by side. With `by_channel` each channel is a speaker; `speaker_names` are
    their names in channel order, and may be fewer. A mono recording is then refused, or with
    `mono_is_plain` transcribed as without `by_channel`. With `language_only` nothing is transcribed:
    the language of the first 30 s is all that is detected. Without an `audio_context` the policy's counts.
    """

    task: Task = "transcribe"
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    temperatures: tuple[float, ...] = LADDER
    word_timestamps: bool = False
    condition_on_previous_text: bool = True
    carry_initial_prompt: bool = False
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    hallucination_silence_threshold: float | None = None
    clip_seconds: tuple[float, ...] = ()
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    logprobs: bool = False
    chunking: Chunking | None = None
    by_channel: bool = False
    mono_is_plain: bool = False
    speaker_names: tuple[str, ...] = ()
    language_only: bool = False
    audio_context: AudioContext | None = None


Spans = list[tuple[float, float]]
"""Stretches of a recording as (start, end) seconds, in order."""

FindSpeech = Callable[[Samples, Chunking], Spans]
"""The spans of speech in 16 kHz samples."""


def _whole_recording(samples: Samples, chunking: Chunking) -> Spans:
    return [(0.0, len(samples) / SAMPLE_RATE)]


def _always_speech(samples: Samples, floor: float) -> bool:
    return True


def _without_threads() -> SideBySide:
    return SideBySide(0)


@dataclass(frozen=True)
class Policy:
    """The server's own settings for every transcription.

    `strict` follows openai-whisper to the letter: no silence gate, and language detection always on
    the silence-padded audio. Otherwise a window is not decoded if its speech probability, which
    `has_speech` compares, is under `speech_floor` (0: all windows are decoded). `find_speech` finds the
    spans between pauses. Pieces and channels are transcribed in the threads of `side_by_side`.
    `audio_context` is that of requests which don't name any.
    """

    strict: bool = False
    speech_floor: float = 0.25
    has_speech: HasSpeech = _always_speech
    find_speech: FindSpeech = _whole_recording
    side_by_side: SideBySide = field(default_factory=_without_threads, compare=False)
    audio_context: AudioContext = "full"

    @property
    def gated(self) -> bool:
        """Whether windows without speech are skipped."""
        return not self.strict and self.speech_floor > 0

    def shortens(self, request: TranscriptionRequest) -> bool:
        """Whether a request's windows of less than 30 s have a short context."""
        return (request.audio_context or self.audio_context) == "short" and not request.language_only

    def worth_decoding(self, samples: Samples) -> bool:
        """Whether a window's samples are to be decoded."""
        return not self.gated or self.has_speech(samples, self.speech_floor)


def temperature_ladder(start: float, increment: float | None) -> tuple[float, ...]:
    """The temperatures to try: `start`, then up in steps of `increment` to 1.0.

    Without an increment, 0 means openai-whisper's ladder and anything above 0 stands alone;
    an increment of 0 always means `start` alone.
    """
    if increment is None:
        return LADDER if start == 0 else (start,)
    if increment == 0:
        return (start,)
    steps = int((1.0 - start + 1e-6) / increment)
    return tuple(min(1.0, round(start + step * increment, 6)) for step in range(steps + 1))
