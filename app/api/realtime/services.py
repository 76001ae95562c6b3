"""What a session uses: this worker's models, catalogue and limits, on behalf of one client."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from flask import g

from app.api import current_runtime
from app.api.access import caller, caller_or_address
from app.api.accounting import who
from app.api.admitted import admitted_in_time
from app.api.application import IncomingRequest, incoming
from app.api.realtime.client_events import Fields, check_event, parse_event
from app.api.realtime.session_record import SessionRecord
from app.realtime.configuration import LIVE_MODELS
from app.realtime.interface import Heard, LiveTranscript, TurnDetection, TurnDetector
from app.realtime.live_transcript import LiveText
from app.realtime.session import Services
from app.realtime.turn_detection import new_turn_detector
from app.request_context import RequestContext
from app.requests.parse import AudioRequest, parse
from app.runtime import Lease, Runtime
from app.scheduling import SchedulingClass
from app.transcript import Transcript
from app.transcription.request import TranscriptionRequest
from app.transcription.transcribe import collected

_MAX_CHARACTERS = 200


def worker_services() -> "WorkerServices":
    """What the client of the request being answered may use."""
    runtime = current_runtime()
    record = SessionRecord(runtime.metrics, _described(incoming()))
    return WorkerServices(runtime, caller(), caller_or_address(), record)


def _described(request: IncomingRequest) -> dict[str, object]:
    """How the log describes the request that opens a session."""
    return {
        "request_id": g.request_id,
        "who": who(request),
        "path": request.sent_path[:_MAX_CHARACTERS],
        "agent": request.user_agent.string[:_MAX_CHARACTERS],
    }


@dataclass(frozen=True)
class LeasedModel:
    """An UtteranceModel. `permit_owner` counts as one caller for permits."""

    runtime: Runtime
    lease: Lease
    permit_owner: str

    def live(self, request: TranscriptionRequest) -> LiveTranscript:
        """A new utterance's text while it is spoken."""
        return LiveText(self.lease.transcriber, request, self.runtime.new_voice())

    def transcribe(
        self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext
    ) -> Transcript:
        """The transcript that POST /v1/audio/transcriptions gives for the file. Raises SpeechError."""
        with (
            admitted_in_time(self.runtime, self.lease, self.permit_owner, context),
            closing(self.lease.transcriber.stream(file, request, context)) as deltas,
        ):
            return collected(deltas, request.task)


@dataclass(frozen=True)
class WorkerServices:
    """`caller` is a digest of the API key, or empty; `permit_owner` counts as one caller for permits."""

    runtime: Runtime
    caller: str
    permit_owner: str
    record: SessionRecord

    def services(self) -> Services:
        """What its session calls."""
        return Services(
            parse_event,
            check_event,
            self.parse,
            self.new_context,
            self.hold_model,
            self.new_turn_detector,
            self.record,
        )

    def parse(self, fields: Fields) -> AudioRequest:
        """The request of a configuration's transcription. Raises ModelNotFound, InvalidParameter."""
        if fields["model"] not in LIVE_MODELS:
            fields = {**fields, "model": self.runtime.catalogue.require(fields["model"])}
        return parse(fields, "transcribe", self.runtime.settings.ignore_prompts)

    def new_context(self, client_gone: Callable[[], bool]) -> RequestContext:
        """The context of the work for an utterance."""
        utterance = SchedulingClass.UTTERANCE
        return self.runtime.request_context(client_gone, self.caller, self.record.cost, utterance)

    @contextmanager
    def hold_model(self, name: str, context: RequestContext) -> Iterator[LeasedModel]:
        """The model that a name means, loaded. Raises ServerBusy where it can't be had in time."""
        self.record.model, self.record.served = name[:_MAX_CHARACTERS], self.runtime.name_of(name)
        with self.runtime.lease(name, context) as lease:
            yield LeasedModel(self.runtime, lease, self.permit_owner)

    def new_turn_detector(self, detection: TurnDetection, heard: Callable[[], Heard]) -> TurnDetector:
        """A session's detector of turns."""
        return new_turn_detector(detection, self.runtime.new_voice(), heard)
