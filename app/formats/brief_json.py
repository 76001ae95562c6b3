"""response_format=json: the text and what was billed for it."""

import math

from app.formats.wire import dump_json, finite
from app.formats.wishes import Wishes
from app.transcript import Transcript


def render(transcript: Transcript, _wishes: Wishes) -> str:
    """OpenAI's Transcription (or Translation) object."""
    return dump_json({"text": transcript.text.strip(), "usage": duration_usage(transcript)})


def duration_usage(transcript: Transcript) -> dict[str, str | int]:
    """Usage counted by duration, as whisper-1 does: whole seconds, rounded up."""
    return {"type": "duration", "seconds": math.ceil(finite(transcript.duration_seconds))}
