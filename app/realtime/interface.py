"""What a session is made of: its turns, and the model that hears its utterances."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple, Protocol

from app.errors import SpeechError
from app.request_context import RequestContext
from app.transcript import Transcript
from app.transcription.request import TranscriptionRequest
from app.waveform import SAMPLE_RATE, Samples

MOST_SAMPLES = 31 * SAMPLE_RATE
"""The most that a look for text is given: a window, and what shows that it is full."""

Eagerness = Literal["low", "medium", "high", "auto"]


@dataclass(frozen=True)
class TurnDetection:
    """A session's `turn_detection`: how its turns are detected, and how eagerly they end."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    eagerness: Eagerness = "auto"


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
        """What begins or ends in the next 16 kHz float32 samples, any number of them."""

    def reset(self, at_ms: int) -> None:
        """Nobody speaks, and the next samples are those at `at_ms`: after a clear or a commit by hand."""


class Heard(NamedTuple):
    """The text of the utterance so far, sent or not, and how many milliseconds of it were heard for that."""

    text: str = ""
    until_ms: int = 0


NewTurnDetector = Callable[[TurnDetection, Callable[[], Heard]], TurnDetector]
"""(detection, heard) -> a session's detector; `heard()` is the text of the turn under way so far."""


class LiveTranscript(Protocol):
    """The text of one utterance while it is spoken. What it returns is never taken back.

    `begin` is the number of the first 16 kHz sample of the utterance that it still needs; only `update`
    changes it.
    """

    @property
    def begin(self) -> int:
        """How many samples it is done with."""

    @property
    def heard(self) -> Heard:
        """The text so far."""

    def update(self, samples: Samples, context: RequestContext) -> str:
        """The next piece of text, given the utterance's samples from `begin` on; may be empty.

        They are those so far, or where there are more, the first MOST_SAMPLES of them.
        Called in one thread at a time. Raises what a RequestContext raises when the utterance ends.
        """

    def finish(self, transcript: str) -> str:
        """The last piece, given the final transcript; empty if that doesn't continue what was sent."""


class UtteranceModel(Protocol):
    """A loaded model that an utterance holds."""

    def live(self, request: TranscriptionRequest) -> LiveTranscript:
        """A new utterance's text while it is spoken."""

    def transcribe(
        self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext
    ) -> Transcript:
        """The transcript that a request with the file gets. Raises SpeechError."""


HoldModel = Callable[[str, RequestContext], AbstractContextManager[UtteranceModel]]
"""(model's name, context) -> the model, once it is loaded. Entering raises SpeechError."""


class SessionRecord(Protocol):
    """Counts what happens in one session. Any thread may call it."""

    def opened(self) -> None:
        """The session has begun."""

    def delta_sent(self, seconds: float) -> None:
        """So long after the audio had come, what was heard in it was sent."""

    def answered(self, item_id: str, seconds: float, error: SpeechError | None) -> None:
        """An utterance was, so long after its commit; `error` if it failed. An error's cause is logged."""

    def closed(self, code: int, heard_ms: int) -> None:
        """The session has ended, and so much audio came. Called once."""
