"""An utterance: its text while it is spoken, and its transcript."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from time import monotonic
from typing import BinaryIO

from app.errors import ClientGone, SpeechError
from app.realtime import events
from app.realtime.events import Event
from app.realtime.interface import LiveTranscript
from app.request_context import RequestContext
from app.requests.parse import AudioRequest
from app.transcript import Transcript
from app.waveform import Samples

Send = Callable[[Event], None]

Transcribe = Callable[[BinaryIO, AudioRequest, RequestContext], Transcript]
"""(file, request, context) -> the transcript. Raises SpeechError."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Committed:
    """A WAV file, what it is transcribed with, and when it was committed (monotonic)."""

    file: bytes = field(repr=False)
    request: AudioRequest
    at: float = field(default_factory=monotonic)


@dataclass(frozen=True)
class Answered:
    """An utterance that was answered: `seconds` since its commit, its error if it failed."""

    seconds: float
    error: SpeechError | None


class Utterance:
    """What is or was said between two commits. `update` and `answer` are called in one thread at a time.

    `context` is the transcript's, `live_context` that of the text before: it is cancelled with the commit.
    """

    def __init__(
        self,
        item_id: str,
        live: LiveTranscript,
        new_context: Callable[[], RequestContext],
    ) -> None:
        self.item_id = item_id
        self.live = live
        self.live_context = new_context()
        self._new_context = new_context
        self._dropped = False

    def drop(self) -> None:
        """Nobody wants it anymore."""
        self._dropped = True
        self.live_context.cancel()

    def update(self, samples: Samples, send: Send) -> None:
        """Send a `delta` if there is more text. `samples` are all of the utterance's so far, at 16 kHz."""
        if self.live_context.abandoned:
            return
        try:
            text = self.live.update(samples, self.live_context)
        except SpeechError:
            return  # what is wrong is said when it is transcribed
        if text and not self._dropped:
            send(events.delta(self.item_id, text))

    def answer(self, committed: Committed, transcribe: Transcribe, send: Send) -> Answered:
        """Send the last `delta` and `completed`, or `failed`."""
        request = committed.request
        error: SpeechError | None = None
        try:
            transcript = transcribe(BytesIO(committed.file), request, self._new_context())
            rest = self.live.finish(transcript.text.strip())
            if rest:
                send(events.delta(self.item_id, rest))
            send(events.completed(self.item_id, transcript, request.render_options))
        except SpeechError as known:
            error = known
        except Exception:
            _log.exception("An utterance of a realtime session failed")
            error = SpeechError(f"The server had an error while transcribing the item {self.item_id}.")
        if error and not isinstance(error, ClientGone):
            send(events.failed(self.item_id, error))
        return Answered(monotonic() - committed.at, error)
