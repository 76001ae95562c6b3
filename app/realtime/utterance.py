"""An utterance: its text while it is spoken, and its transcript."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock
from time import monotonic

from app.errors import ClientGone, SpeechError
from app.realtime import events
from app.realtime.configuration import Transcription
from app.realtime.events import Event
from app.realtime.interface import Heard, HoldModel, LiveTranscript, UtteranceModel
from app.request_context import RequestContext
from app.transcript import Transcript
from app.waveform import Samples

Send = Callable[[Event], None]


@dataclass(frozen=True)
class Committed:
    """A WAV file, what it is transcribed with, and when it was committed (monotonic)."""

    file: bytes = field(repr=False)
    transcription: Transcription
    at: float = field(default_factory=monotonic)


@dataclass(frozen=True)
class Answered:
    """The answer to an utterance: `seconds` since its commit, the events to send, its error if it failed."""

    seconds: float
    events: list[Event]
    error: SpeechError | None = None


class Utterance:
    """What is or was said between two commits. `update`, `answer` and `release` are called in one thread at
    a time, which is not that of `drop`.

    It holds its model from the first `update` until it is answered or released. So the model is loaded while
    somebody speaks, and can be unloaded while nobody does. `live_context` is that of the text before the
    transcript: it is cancelled with the commit. `heard` may be read in any thread.
    """

    def __init__(
        self,
        item_id: str,
        transcription: Transcription,
        hold_model: HoldModel,
        new_context: Callable[[], RequestContext],
    ) -> None:
        self.item_id = item_id
        self.heard = Heard()
        self.live_context = new_context()
        self._transcription = transcription
        self._hold_model = hold_model
        self._new_context = new_context
        self._held = ExitStack()
        self._model: tuple[str, UtteranceModel] | None = None
        self._live: LiveTranscript | None = None
        self._lock = Lock()
        self._dropped = False

    @property
    def begin(self) -> int:
        """The number of the first sample that the next `update` needs; not to be read during one."""
        return self._live.begin if self._live else 0

    def drop(self) -> None:
        """Nobody wants it anymore: no event follows. `release` must be called then."""
        self.live_context.cancel()
        with self._lock:
            self._dropped = True

    def release(self) -> None:
        """Give the model back."""
        self._model = None
        self._held.close()

    def update(self, samples: Samples, send: Send) -> bool:
        """Send a `delta` if there is more text. `samples` are as LiveTranscript.update takes them."""
        try:
            self.live_context.check()
            text = self._more_text(samples)
        except SpeechError:
            return False  # what is wrong is said when it is transcribed
        with self._lock:
            sends = bool(text) and not self._dropped
            if sends:
                send(events.delta(self.item_id, text))
        return sends

    def answer(self, committed: Committed) -> Answered:
        """Transcribe it: the last `delta` and `completed`, or `failed`, or nothing if the client has gone."""
        try:
            sent = self._completed(committed)
            return Answered(monotonic() - committed.at, sent)
        except SpeechError as known:
            error = known
        except Exception as cause:
            error = self._failure(cause)
        sent = [] if isinstance(error, ClientGone) else [events.failed(self.item_id, error)]
        return Answered(monotonic() - committed.at, sent, error)

    def _failure(self, cause: Exception) -> SpeechError:
        """What an unexpected error means to the client; none, once it has gone."""
        try:
            self._new_context().check()
        except SpeechError as gone:
            return gone
        error = SpeechError(f"The server had an error while transcribing the item {self.item_id}.")
        error.__cause__ = cause
        return error

    def _completed(self, committed: Committed) -> list[Event]:
        transcript = self._transcribe(committed)
        text = transcript.text.strip()
        rest = self._live.finish(text) if self._live else text
        options = committed.transcription.request.render_options
        completed = events.completed(self.item_id, transcript, options)
        return [events.delta(self.item_id, rest), completed] if rest else [completed]

    def _more_text(self, samples: Samples) -> str:
        request = self._transcription.request.transcription
        model = self._hold(self._transcription.model, self.live_context)
        self._live = self._live or model.live(request)
        text = self._live.update(samples, self.live_context)
        self.heard = self._live.heard
        return text

    def _transcribe(self, committed: Committed) -> Transcript:
        context, wanted = self._new_context(), committed.transcription
        try:
            model = self._hold(wanted.model, context)
            return model.transcribe(BytesIO(committed.file), wanted.request.transcription, context)
        finally:
            context.cancel()
            self.release()

    def _hold(self, name: str, context: RequestContext) -> UtteranceModel:
        """The model, loaded. A session may change it before the commit."""
        if self._model is None or self._model[0] != name:
            self.release()
            self._model = name, self._held.enter_context(self._hold_model(name, context))
        return self._model[1]
