"""response_format=json: the text, what was asked for beside it, and what was billed for it."""

from typing import Any

from app.formats.evidence import languages, logprobs
from app.formats.usage import usage_of
from app.formats.wire import dump_json
from app.formats.wishes import Wishes
from app.transcript import Transcript


def render(transcript: Transcript, wishes: Wishes) -> str:
    """OpenAI's Transcription (or Translation) object."""
    text = transcript.text.strip()
    body: dict[str, Any] = {"text": text}
    if wishes.languages:
        body["languages"] = languages(transcript.language, text)
    if wishes.logprobs:
        body["logprobs"] = logprobs(transcript.segments)
    return dump_json(body | {"usage": usage_of(transcript, wishes)})
