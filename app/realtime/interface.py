"""What a session is made of: the detection of turns, and text before an utterance has ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from app.request_context import RequestContext
from app.transcription.request import TranscriptionRequest
from app.waveform import Samples


@dataclass(frozen=True)
class TurnDetection:
    """A session's `turn_detection`: how its turns are detected, and how eagerly they end."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"


@dataclass(frozen=True)
class SpeechStarted:
    """A turn begins at `at_ms`, the padding before it included."""

    at_ms: int


@dataclass(frozen=True)
class SpeechStopped:
    """The turn ends at `at_ms`, the silence that ends it included."""

    at_ms: int


class TurnDetector(Protocol):
    """Finds turns in the audio of one session. Times are milliseconds of the session's audio."""

    def feed(self, samples: Samples) -> list[SpeechStarted | SpeechStopped]:
        """What is found in the next 16 kHz samples, any number of them. Starts and stops alternate."""

    def reset(self, at_ms: int) -> None:
        """Forget the turn that is under way: its audio was cleared or committed up to `at_ms`."""


class LiveTranscript(Protocol):
    """The text of one utterance while it is spoken. What was sent once stays."""

    def update(self, samples: Samples, context: RequestContext) -> str:
        """More text of the utterance so far (16 kHz samples), "" for none.

        Called in one thread at a time. Raises what a RequestContext raises when the utterance ends.
        """

    def finish(self, transcript: str) -> str:
        """The rest of the final transcript, "" where that doesn't begin with what was sent."""


NewTurnDetector = Callable[[TurnDetection, Callable[[], LiveTranscript | None]], TurnDetector]
"""(detection, live) -> a session's detector; `live()` is the text of the turn under way, if there is one."""

NewLiveTranscript = Callable[[TranscriptionRequest], LiveTranscript]
"""The options of the utterance's transcript -> its text while it is spoken."""


class WholeTranscript:
    """Text only when the utterance is transcribed: all of it at once."""

    def update(self, samples: Samples, context: RequestContext) -> str:
        """Nothing."""
        return ""

    def finish(self, transcript: str) -> str:
        """The transcript."""
        return transcript
