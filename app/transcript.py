"""The nouns that all layers share. Times are seconds on the recording's clock."""

from dataclasses import dataclass
from typing import Literal

Task = Literal["transcribe", "translate"]


@dataclass(frozen=True)
class Word:
    """One word as Whisper spells it: leading blank and adjoining punctuation included."""

    text: str
    start_seconds: float
    end_seconds: float
    probability: float


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


@dataclass(frozen=True)
class TranscriptDelta:
    """What one more segment adds. The texts of all deltas joined are the transcript's text.

    `segment` is None in the last delta, which tells the language and brings held-back text, if any.
    """

    language: str
    text: str = ""
    segment: Segment | None = None


@dataclass(frozen=True)
class Transcript:
    """All that was heard in one recording. `language` is an ISO-639-1 code."""

    task: Task
    language: str
    duration_seconds: float
    text: str
    segments: tuple[Segment, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments, in order."""
        return tuple(word for segment in self.segments for word in segment.words)
