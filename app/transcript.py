"""The nouns that all layers share. Times are seconds on the recording's clock."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

Task = Literal["transcribe", "translate"]


@dataclass
class RequestCost:
    """What one request has cost so far.

    `audio_seconds` is the length of its recordings, `decode_seconds` what reading their files took.
    Of the model's work: `windows` that were decoded (each temperature counts) and how many of them
    were `fallbacks` to a higher temperature; and seconds, added up over all pieces of work, of which
    many run at a time: how long they waited for their turn, and how long they took. `unfinished`
    pieces of work are not in these seconds yet.
    """

    audio_seconds: float = 0.0
    decode_seconds: float = 0.0
    windows: int = 0
    fallbacks: int = 0
    queue_seconds: float = 0.0
    model_seconds: float = 0.0
    unfinished: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def fall_back(self) -> None:
        """A window is decoded at a higher temperature; several threads may say so at a time."""
        with self._lock:
            self.fallbacks += 1


@dataclass(frozen=True)
class Word:
    """One word as Whisper spells it: leading blank and adjoining punctuation included."""

    text: str
    start_seconds: float
    end_seconds: float
    probability: float


@dataclass(frozen=True)
class TokenLogprob:
    """One text token and how likely the model found it. `raw` may be half a character in UTF-8."""

    text: str
    raw: bytes
    logprob: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech between two of Whisper's timestamps.

    `seek` is the first frame (1/100 s) of the window it was decoded in; `text` keeps its leading
    blank; `tokens` keep their timestamps; `words` is empty unless word times were asked for.
    """

    id: int
    seek: int
    start_seconds: float
    end_seconds: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    speaker: str | None = None


@dataclass(frozen=True)
class TokenUsage:
    """What a transcript took and gave: 10 audio tokens a second, text counted by Whisper's tokenizer."""

    audio_tokens: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class TranscriptDelta:
    """What one more segment adds. The texts of all deltas joined are the transcript's text.

    Only the last delta has no `segment`: it brings held-back text, if any, the `usage` of all, the
    recording's `duration_seconds`, and the language's probability where nothing else was asked for.
    """

    language: str
    text: str = ""
    segment: Segment | None = None
    usage: TokenUsage | None = None
    duration_seconds: float = 0.0
    language_probability: float | None = None


@dataclass(frozen=True)
class Transcript:
    """All that was heard in one recording. `language` is an ISO-639-1 code.

    `language_probability` is known where nothing but the language was asked for.
    """

    task: Task
    language: str
    duration_seconds: float
    text: str
    segments: tuple[Segment, ...] = ()
    usage: TokenUsage = TokenUsage(0, 0, 0)
    language_probability: float | None = None

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments, in order."""
        return tuple(word for segment in self.segments for word in segment.words)
