"""The `usage` of an answer: seconds of audio, or tokens."""

import math
from typing import Any

from app.formats.render_options import RenderOptions
from app.formats.wire import finite
from app.transcript import TokenUsage, Transcript


def usage_of(transcript: Transcript, options: RenderOptions) -> dict[str, Any]:
    """Usage in the unit of the model that the request names."""
    return token_usage(transcript.usage) if options.token_usage else duration_usage(transcript)


def duration_usage(transcript: Transcript) -> dict[str, Any]:
    """Usage counted by duration, as whisper-1 does: whole seconds, rounded up."""
    return {"type": "duration", "seconds": math.ceil(finite(transcript.duration_seconds))}


def token_usage(usage: TokenUsage) -> dict[str, Any]:
    """Usage counted by tokens, as the gpt-* models do."""
    input_tokens = usage.prompt_tokens + usage.audio_tokens
    return {
        "type": "tokens",
        "input_tokens": input_tokens,
        "input_token_details": {"text_tokens": usage.prompt_tokens, "audio_tokens": usage.audio_tokens},
        "output_tokens": usage.output_tokens,
        "total_tokens": input_tokens + usage.output_tokens,
    }
