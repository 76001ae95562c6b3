"""POST /v1/audio/speech, and the lists of voices and models."""

from base64 import b64encode
from collections.abc import Generator
from contextlib import ExitStack, closing
from itertools import chain

from flask import Response

from app.api import current_runtime
from app.api.access import caller_or_address
from app.api.application import incoming
from app.api.bodies import read_json
from app.api.event_stream import Event, event_stream
from app.api.form_values import Fields
from app.api.schemas import SPEECH
from app.errors import InvalidParameter, UnsupportedValue
from app.requests.parse import known_language
from app.synthesis import VOICES
from app.synthesis.encoded_speech import EncodedSpeech

_WITHOUT_EVENTS = ("tts-1", "tts-1-hd")


def create_speech() -> Response:
    """A text as an audio file, sent while it is synthesized: as bytes, or in events."""
    fields = read_json(SPEECH)
    runtime = current_runtime()
    fields["model"] = runtime.catalogue.require_speech(fields["model"], incoming().deployment)
    _check(fields)
    with ExitStack() as held:
        held.enter_context(runtime.admission.admit_speaker(caller_or_address()))
        speech = held.enter_context(closing(_encoded_speech(fields)))
        if fields.get("stream_format") == "sse":
            return event_stream(
                _events(speech, runtime.count_tokens(fields["input"])), on_close=held.pop_all().close
            )
        pieces = speech.pieces()
        first = next(pieces)  # an error before it keeps its status
        response = Response(chain([first], pieces), content_type=speech.mimetype)
        response.call_on_close(held.pop_all().close)
        return response


def list_voices() -> dict[str, list[dict[str, str]]]:
    """The voices, in Open WebUI's format."""
    return {"voices": [{"id": name, "name": name.capitalize()} for name in VOICES]}


def list_speech_models() -> dict[str, list[dict[str, str]]]:
    """The models for speech, in Open WebUI's format; none if there is no synthesizer."""
    return {"models": [{"id": name} for name in current_runtime().catalogue.speech_names()]}


def voice_name(voice: str | Fields) -> str:
    """The name in a `voice` that the schema has checked: a name, or an object with one as its `id`."""
    return voice if isinstance(voice, str) else str(voice["id"])


def _check(fields: Fields) -> None:
    """Raise InvalidParameter for what the schema doesn't check."""
    if not fields["input"].strip():
        raise InvalidParameter("Invalid 'input': expected a text, but got only white space.", param="input")
    if fields.get("stream_format") == "sse" and fields["model"] in _WITHOUT_EVENTS:
        raise UnsupportedValue(
            f"Unsupported value: 'stream_format' does not support 'sse' with the model '{fields['model']}'.",
            param="stream_format",
        )


def _encoded_speech(fields: Fields) -> EncodedSpeech:
    language = fields.get("language")
    return current_runtime().speak(
        fields["input"],
        voice_name(fields["voice"]),
        fields.get("response_format", "mp3"),
        fields.get("speed", 1.0),
        known_language(language, "language") if language else None,
    )


def _events(speech: EncodedSpeech, input_tokens: int) -> Generator[Event, None, None]:
    for piece in speech.pieces():
        yield {"type": "speech.audio.delta", "audio": b64encode(piece).decode()}
    output_tokens = speech.audio_tokens
    usage = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
    yield {"type": "speech.audio.done", "usage": usage}
