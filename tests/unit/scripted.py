"""Stand-ins for what lies below the HTTP side, and how its tests look at answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from werkzeug.test import TestResponse

from app.errors import ModelNotFound, SpeechError
from app.held_audio import AudioShare, HeldAudio
from app.metrics import Metrics
from app.request_context import RequestContext
from app.transcript import RequestCost, Segment, Transcript, TranscriptDelta, Word
from app.transcription.request import TranscriptionRequest
from app.waveform import Samples
from tests.scripted_engine import silence

TRANSCRIPT = Transcript(
    task="transcribe",
    language="en",
    duration_seconds=2.5,
    text=" Hello there.",
    segments=(
        Segment(
            id=0,
            seek=0,
            start_seconds=0.0,
            end_seconds=2.0,
            text=" Hello there.",
            tokens=(50364, 2425, 456, 13, 50464),
            temperature=0.0,
            avg_logprob=-0.25,
            compression_ratio=0.6,
            no_speech_prob=0.01,
            words=(Word(" Hello", 0.0, 0.8, 0.9), Word(" there.", 0.8, 2.0, 0.9)),
        ),
    ),
)


class ScriptedRuntime:
    """A Runtime without a model: it answers what it was told to and keeps what it was asked."""

    def __init__(self) -> None:
        self.ready = True
        self.metrics = Metrics()
        self.held_audio = HeldAudio()
        self.notice: str | None = None
        self.full: SpeechError | None = None
        self.failure: Exception | None = None
        self.requests: list[TranscriptionRequest] = []
        self.files: list[bytes] = []
        self.permits_held = 0
        self.reading_full: SpeechError | None = None
        self.bodies_read = 0
        self.clients_gone: list[bool] = []
        self.callers: list[str] = []

    def require_model(self, name: str) -> None:
        if name != "whisper-1":
            raise ModelNotFound(f"The model `{name}` does not exist or you do not have access to it.")

    def require_time_for(self, request: TranscriptionRequest) -> None:
        """There is time for everything."""

    @contextmanager
    def admit(self) -> Iterator[None]:
        if self.full:
            raise self.full
        self.permits_held += 1
        try:
            yield
        finally:
            self.permits_held -= 1

    @contextmanager
    def read(self) -> Iterator[None]:
        if self.reading_full:
            raise self.reading_full
        self.bodies_read += 1
        try:
            yield
        finally:
            self.bodies_read -= 1

    def transcribe(
        self,
        file: BinaryIO,
        request: TranscriptionRequest,
        client_gone: Callable[[], bool],
        caller: str,
        cost: RequestCost | None = None,
    ) -> Transcript:
        assert self.permits_held == 1
        self.callers.append(caller)
        self.files.append(file.read())
        self.requests.append(request)
        self.clients_gone.append(client_gone())
        if self.failure:
            raise self.failure
        return TRANSCRIPT

    def context(self, client_gone: Callable[[], bool], cost: RequestCost | None = None) -> RequestContext:
        return RequestContext.of(60, client_gone, cost)

    def decode(
        self, file: BinaryIO, context: RequestContext, share: AudioShare, *, by_channel: bool = False
    ) -> Samples:
        assert self.permits_held == 1
        self.files.append(file.read())
        samples = silence(2.5)
        share.take(samples.size)
        return samples

    def stream(
        self, samples: Samples, request: TranscriptionRequest, context: RequestContext
    ) -> Iterator[TranscriptDelta]:
        self.requests.append(request)
        if self.failure:
            raise self.failure
        for segment in TRANSCRIPT.segments:
            yield TranscriptDelta(TRANSCRIPT.language, segment.text.strip(), segment)
        yield TranscriptDelta(TRANSCRIPT.language, usage=TRANSCRIPT.usage)


def upload(stream: object, length: int | None, content_type: str | None = None) -> dict[str, object]:
    """A body as a server hands it over: with its length, or (None) chunked and ended by the server."""
    environ: dict[str, object] = {"wsgi.input": stream}
    if content_type is not None:
        environ["CONTENT_TYPE"] = content_type
    if length is None:
        return environ | {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    return environ | {"CONTENT_LENGTH": str(length)}


def error_of(response: TestResponse) -> dict[str, str | None]:
    """The error object of an answer, whose shape every client relies on."""
    assert response.content_type == "application/json"
    assert response.headers["x-request-id"]
    assert list(response.json) == ["error"]
    error = response.json["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert isinstance(error["message"], str) and isinstance(error["type"], str)
    return error
