"""response_format=diarized_json: segments with their speakers."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from app.formats.render_options import RenderOptions
from app.formats.usage import usage_of
from app.formats.wire import dump_json, finite
from app.transcript import Segment, Transcript


def render(transcript: Transcript, options: RenderOptions) -> str:
    """OpenAI's TranscriptionDiarized object."""
    body = {
        "task": transcript.task,
        "duration": finite(transcript.duration_seconds),
        "text": conversation(transcript.segments),
        "segments": [speaker_segment(segment) for segment in transcript.segments],
        "usage": usage_of(transcript, options),
    }
    return dump_json(body)


def speaker_segment(segment: Segment) -> dict[str, Any]:
    """One segment with its speaker, in an answer and as an event of a stream."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{segment.id + 1:03d}",
        "start": finite(segment.start_seconds),
        "end": finite(segment.end_seconds),
        "text": segment.text.strip(),
        "speaker": segment.speaker or "",
    }


def conversation(segments: Iterable[Segment]) -> str:
    """A line `Name: ...` for each turn: consecutive segments of one speaker."""
    return "\n".join(_turns(segments))


def _turns(segments: Iterable[Segment]) -> Iterator[str]:
    for speaker, turn in groupby(segments, lambda segment: segment.speaker):
        yield f"{speaker}: {''.join(segment.text for segment in turn).strip()}"
