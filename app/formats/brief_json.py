"""response_format=json: the text, the usage, and the details that were requested."""

from typing import Any

from app.formats.render_options import RenderOptions
from app.formats.token_details import languages, logprobs
from app.formats.usage import usage_of
from app.formats.wire import dump_json
from app.transcript import Transcript


def render(transcript: Transcript, options: RenderOptions) -> str:
    """OpenAI's Transcription (or Translation) object."""
    text = transcript.text.strip()
    body: dict[str, Any] = {"text": text}
    if options.languages:
        body["languages"] = languages(transcript.segments)
    if options.logprobs:
        body["logprobs"] = logprobs(transcript.segments)
    return dump_json(body | {"usage": usage_of(transcript, options)})
