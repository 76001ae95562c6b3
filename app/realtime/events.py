"""The events that the server sends, in OpenAI's form."""

from typing import Any
from uuid import uuid4

from app.errors import SpeechError
from app.formats import RenderOptions
from app.formats.token_details import languages, logprobs
from app.formats.usage import usage_of
from app.transcript import Transcript

Event = dict[str, Any]

_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_LONGEST_EVENT_ID = 512


def event_id_of(event: Event) -> str | None:
    """The client's id of an event that is not checked yet; None if it can't be one."""
    event_id = event.get("event_id")
    return event_id if isinstance(event_id, str) and len(event_id) <= _LONGEST_EVENT_ID else None


def new_id(kind: str) -> str:
    """An id that no other has: `item_...`, `sess_...`."""
    return f"{kind}_{uuid4().hex[:21]}"


def event(type: str, **values: Any) -> Event:
    """An event with an id of its own."""
    return {"type": type, "event_id": new_id("event"), **values}


def error_event(error: SpeechError, event_id: str | None) -> Event:
    """`error`; `event_id` is the client's, of the event that it is about."""
    return event("error", error={**_described(error), "event_id": event_id})


def failed(item_id: str, error: SpeechError) -> Event:
    """The utterance can't be transcribed."""
    return event(f"{_TRANSCRIPTION}.failed", item_id=item_id, content_index=0, error=_described(error))


def delta(item_id: str, text: str) -> Event:
    """More of an utterance's text."""
    return event(f"{_TRANSCRIPTION}.delta", item_id=item_id, content_index=0, delta=text)


def completed(item_id: str, transcript: Transcript, options: RenderOptions) -> Event:
    """All of an utterance's text, as an answer in JSON has it."""
    described: Event = {"transcript": transcript.text.strip(), "usage": usage_of(transcript, options)}
    if options.logprobs:
        described["logprobs"] = logprobs(transcript.segments)
    if options.languages:
        described["languages"] = languages(transcript.segments)
    return event(f"{_TRANSCRIPTION}.completed", item_id=item_id, content_index=0, **described)


def committed(item_id: str, previous_item_id: str | None) -> list[Event]:
    """An utterance is complete: it becomes an item of the conversation."""
    item = {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    return [
        event("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous_item_id),
        event("conversation.item.added", item=item, previous_item_id=previous_item_id),
        event("conversation.item.done", item=item, previous_item_id=previous_item_id),
    ]


def _described(error: SpeechError) -> Event:
    return {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
