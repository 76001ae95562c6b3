"""Stand-ins for what lies below the HTTP side, and how its tests look at answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from werkzeug.test import TestResponse

from app.admission import Admission, Pace, PaceOf
from app.errors import SpeechError
from app.metrics import Metrics
from app.model_catalogue import ModelCatalogue
from app.request_context import RequestContext
from app.request_cost import RequestCost
from app.settings import Settings
from app.transcript import AudioContext, Segment, Transcript, TranscriptDelta, Word
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcriber import Deltas

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


class ScriptedAdmission(Admission):
    """Admits everybody, until it is told what to raise instead."""

    def __init__(self) -> None:
        super().__init__(max_wait_seconds=300, pace=lambda: Pace(0.0, 0.0))
        self.full: SpeechError | None = None
        self.admitted: list[str] = []

    @contextmanager
    def admit(self, caller: str = "", pace: PaceOf | None = None) -> Iterator[None]:
        if self.full:
            raise self.full
        self.admitted.append(caller)
        with super().admit(caller):
            yield


class ScriptedRuntime:
    """A Runtime without a model: its transcripts are all TRANSCRIPT, and it keeps what it was asked.

    It is its own transcriber.
    """

    def __init__(self) -> None:
        self.settings = Settings()
        self.ready = True
        self.metrics = Metrics()
        self.admission = ScriptedAdmission()
        self.catalogue = ModelCatalogue((), lambda: (), lambda: "")
        self.notice: str | None = None
        self.failure: Exception | None = None
        self.requests: list[TranscriptionRequest] = []
        self.files: list[bytes] = []
        self.clients_gone: list[bool] = []
        self.callers: list[str] = []
        self.kept: list[float | None] = []

    @property
    def policy(self) -> Policy:
        return Policy(audio_context=cast(AudioContext, self.settings.context))

    @property
    def transcriber(self) -> "ScriptedRuntime":
        return self

    name = fingerprint = ""

    def name_of(self, _name: str) -> str:
        return "scripted"

    pace = None
    short = False

    @contextmanager
    def lease(
        self, name: str, context: RequestContext, keep_seconds: float | None = None
    ) -> Iterator["ScriptedRuntime"]:
        assert self.permits_held == 0, "who waits for a model holds no permit"
        self.kept.append(keep_seconds)
        yield self

    @property
    def permits_held(self) -> int:
        return self.admission.working.taken

    @property
    def admitted(self) -> list[str]:
        return self.admission.admitted

    @property
    def bodies_read(self) -> int:
        return self.admission.reading.taken

    def request_context(
        self, client_gone: Callable[[], bool], caller: str = "", cost: RequestCost | None = None
    ) -> RequestContext:
        return RequestContext.of(60, client_gone, caller, cost)

    def stream(self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext) -> Deltas:
        assert self.permits_held == 1
        self.callers.append(context.caller)
        self.files.append(file.read())
        self.requests.append(request)
        self.clients_gone.append(context.client_gone())
        return self._deltas()

    def _deltas(self) -> Deltas:
        if self.failure:
            raise self.failure
        for segment in TRANSCRIPT.segments:
            yield TranscriptDelta(TRANSCRIPT.language, segment.text.strip(), segment)
        yield TranscriptDelta(
            TRANSCRIPT.language, usage=TRANSCRIPT.usage, duration_seconds=TRANSCRIPT.duration_seconds
        )


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
    body = response.get_json()
    assert list(body) == ["error"]
    error: dict[str, str | None] = body["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert isinstance(error["message"], str) and isinstance(error["type"], str)
    return error
