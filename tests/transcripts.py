"""A whole transcript from an engine, without a file and a server around it."""

from app.engines.interface import Engine
from app.request_context import RequestContext
from app.transcript import Transcript
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import collected, stream_samples
from app.waveform import Samples


def transcribe(
    engine: Engine, samples: Samples, request: TranscriptionRequest, policy: Policy, context: RequestContext
) -> Transcript:
    """All of `stream_samples`, collected."""
    return collected(stream_samples(engine, samples, request, policy, context), request.task)
