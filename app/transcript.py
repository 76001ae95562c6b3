"""Transcripts and their parts. Times are seconds from the start of the recording."""

from dataclasses import dataclass
from typing import Literal

Task = Literal["transcribe", "translate"]

AudioContext = Literal["full", "short"]
"""How much of a window the model is given: 30 s, or the clip and a margin."""


@dataclass(frozen=True)
class Word:
    """One word with its leading blank and adjoining punctuation."""

    text: str
    start_seconds: float
    end_seconds: float
    probability: float


@dataclass(frozen=True)
class TokenLogprob:
    """One text token and its log-probability. `raw` may be part of a character in UTF-8."""

    text: str
    raw: bytes
    logprob: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech between two of Whisper's timestamps.

    `seek` is the first frame (1/100 s) of the window it was decoded in; `text` keeps its leading
    blank; `tokens` keep their timestamps; `words` is empty unless word times were asked for; `language`
    is the code of the one that it was decoded in.
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
    language: str = ""


@dataclass(frozen=True)
class TokenUsage:
    """A transcript's tokens: 10 audio tokens per second, text tokens as Whisper's tokenizer counts them."""

    audio_tokens: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class TranscriptDelta:
    """What one more segment adds to a transcript. The texts of all deltas, joined, are the transcript's text.

    Only the last delta has no `segment`: it has the rest of the text, if any, the `usage` of all, the
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
    """The transcript of one recording. `language` is an ISO-639-1 code.

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
