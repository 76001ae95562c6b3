"""What a session needs to know when somebody speaks, and what is said so far."""

from dataclasses import dataclass
from typing import Protocol

from app.request_context import RequestContext
from app.waveform import Samples


@dataclass(frozen=True)
class SpeechStarted:
    """Somebody has begun to speak. `at_ms` is where the utterance's audio begins, padding included."""

    at_ms: int


@dataclass(frozen=True)
class SpeechStopped:
    """Nobody has spoken for long enough. `at_ms` is where the utterance's audio ends, silence included."""

    at_ms: int


class TurnDetector(Protocol):
    """Tells one session's utterances apart. Times are milliseconds on the session's clock."""

    def feed(self, samples: Samples) -> list[SpeechStarted | SpeechStopped]:
        """The next 16 kHz float32 samples, any number of them."""

    def reset(self, at_ms: int) -> None:
        """Nobody speaks, and the next samples are those at `at_ms`: after a clear or a commit by hand."""


class LiveTranscript(Protocol):
    """The text of one utterance while it is spoken. What it returns is never taken back."""

    def update(self, samples: Samples, context: RequestContext) -> str:
        """The next piece of text, given the utterance's 16 kHz samples so far; may be empty."""

    def finish(self, transcript: str) -> str:
        """The last piece, given the final transcript; empty if that doesn't continue what was sent."""
