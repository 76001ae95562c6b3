"""A committed utterance -> its transcript."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from time import monotonic
from typing import BinaryIO

from app.errors import ClientGone, SpeechError
from app.realtime import events
from app.realtime.events import Event
from app.realtime.interface import LiveTranscript, WholeTranscript
from app.requests.parse import AudioRequest
from app.transcript import Transcript

Transcribe = Callable[[BinaryIO, AudioRequest, Callable[[], bool]], Transcript]
"""(file, request, client_gone) -> the transcript. Raises SpeechError."""

UtteranceEnd = Callable[[float, SpeechError | None], None]
"""Called with the seconds from the commit to the end, and the error if there was one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Utterance:
    """A WAV file that was committed as an item, and what it is transcribed with."""

    item_id: str
    file: bytes = field(repr=False)
    request: AudioRequest
    client_gone: Callable[[], bool]
    live: LiveTranscript = field(default_factory=WholeTranscript)
    began: float = field(default_factory=monotonic)

    def answer(self, transcribe: Transcribe, send: Callable[[Event], None], ended: UtteranceEnd) -> None:
        """Send the last `delta` and `completed`, or `failed`."""
        error: SpeechError | None = None
        try:
            transcript = transcribe(BytesIO(self.file), self.request, self.client_gone)
            for event in self._last(transcript):
                send(event)
        except SpeechError as known:
            error = known
        except Exception:
            _log.exception("An utterance of a realtime session failed")
            error = SpeechError(f"The server had an error while transcribing the item {self.item_id}.")
        if error and not isinstance(error, ClientGone):
            send(events.failed(self.item_id, error))
        ended(monotonic() - self.began, error)

    def _last(self, transcript: Transcript) -> list[Event]:
        rest = self.live.finish(transcript.text.strip())
        completed = events.completed(self.item_id, transcript, self.request.render_options)
        return [*([events.delta(self.item_id, rest)] if rest else []), completed]
