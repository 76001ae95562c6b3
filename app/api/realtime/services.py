"""What a session uses: this worker's catalogue, engine and limits, on behalf of one client."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from app.api import current_runtime
from app.api.access import caller, caller_or_address
from app.api.admitted import admitted_in_time
from app.api.realtime.client_events import Fields, check_event, parse_event
from app.realtime.configuration import LIVE_MODELS
from app.realtime.session import Services
from app.realtime.utterance import Answered
from app.request_context import RequestContext
from app.requests.parse import AudioRequest, parse
from app.runtime import Runtime
from app.transcript import Transcript
from app.transcription.transcribe import collected


def worker_services() -> "WorkerServices":
    """What the client of the request being answered may use."""
    return WorkerServices(current_runtime(), caller(), caller_or_address())


@dataclass(frozen=True)
class WorkerServices:
    """`caller` is a digest of the API key, or empty; `permit_owner` counts as one caller for permits."""

    runtime: Runtime
    caller: str
    permit_owner: str

    def services(self) -> Services:
        """What its session calls."""
        return Services(
            parse_event, check_event, self.parse, self.new_context, self.transcribe, self.answered
        )

    def parse(self, fields: Fields) -> AudioRequest:
        """The request of a configuration's transcription. Raises ModelNotFound, InvalidParameter."""
        if fields["model"] not in LIVE_MODELS:
            fields = {**fields, "model": self.runtime.catalogue.require(fields["model"])}
        return parse(fields, "transcribe", self.runtime.settings.ignore_prompts)

    def new_context(self, client_gone: Callable[[], bool]) -> RequestContext:
        """The context of the work for an utterance."""
        return self.runtime.request_context(client_gone, self.caller)

    def transcribe(self, file: BinaryIO, request: AudioRequest, context: RequestContext) -> Transcript:
        """The transcript that POST /v1/audio/transcriptions gives for the file. Raises SpeechError."""
        try:
            with (
                admitted_in_time(self.runtime, self.permit_owner, context),
                closing(self.runtime.transcriber.stream(file, request.transcription, context)) as deltas,
            ):
                return collected(deltas, request.transcription.task)
        finally:
            context.cancel()

    def answered(self, answered: Answered) -> None:
        """Count an utterance."""
