"""A whole transcript from an engine, without a file and a server around it; segments as openai-whisper's."""

from typing import Any

from app.engines.interface import Engine
from app.request_context import RequestContext
from app.transcript import Segment, Transcript
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import collected, stream_samples
from app.waveform import Samples


def transcribe(
    engine: Engine, samples: Samples, request: TranscriptionRequest, policy: Policy, context: RequestContext
) -> Transcript:
    """All of `stream_samples`, collected."""
    return collected(stream_samples(engine, samples, request, policy, context), request.task)


def as_whispers(segment: Segment, *, words: bool) -> dict[str, Any]:
    """A segment of openai-whisper's `transcribe()`, with its words or without."""
    found = {
        "id": segment.id,
        "seek": segment.seek,
        "start": segment.start_seconds,
        "end": segment.end_seconds,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }
    if words:
        found["words"] = [
            {"word": w.text, "start": w.start_seconds, "end": w.end_seconds, "probability": w.probability}
            for w in segment.words
        ]
    return found
