"""A client's event: text -> checked fields."""

from typing import Any

from app.api.bodies import check
from app.api.schemas import REALTIME_EVENT
from app.bounded_json import TooComplex, check_structure, parse
from app.errors import InvalidParameter, InvalidRequest, MissingParameter, UnsupportedValue
from app.realtime.session import OFFERED

Fields = dict[str, Any]

_MOST_STRUCTURE = 10_000
_OLD_UPDATE = "transcription_session.update"
_APPEND = "input_audio_buffer.append"
_NEEDED = {"session.update": "session", _APPEND: "audio"}
"""Not in the schema: its conditions would take longer than all else that is done for 20 ms of audio."""
_CONVERSATION = ("conversation.", "response.", "output_audio_buffer.")


def parse_event(data: bytes | bytearray) -> Fields:
    """The fields of an event. Raises InvalidRequest for what is no JSON object."""
    try:
        check_structure(data, _MOST_STRUCTURE)
        event = parse(data)
    except TooComplex as error:
        raise InvalidRequest(f"Could not parse the event: {error}.") from error
    except ValueError as error:
        raise InvalidRequest("Could not parse the event: it is not valid JSON in UTF-8.") from error
    if not isinstance(event, dict):
        raise InvalidRequest("Could not parse the event: expected an object.")
    return event


def check_event(fields: Fields) -> None:
    """Raise InvalidRequest for an event that is not known, not offered, or wrong in a field."""
    kind = str(fields.get("type"))
    if kind == _APPEND and len(fields) == 2 and isinstance(fields.get("audio"), str):
        return  # fifty times a second in each session, and a schema takes a third of all that is done then
    if kind == _OLD_UPDATE:
        raise InvalidParameter(
            f"The event '{_OLD_UPDATE}' is no longer supported. Send 'session.update' with session.type "
            "'transcription'; what were input_audio_format, input_audio_transcription and turn_detection are "
            "session.audio.input.format, session.audio.input.transcription and "
            "session.audio.input.turn_detection.",
            param="type",
        )
    if kind.startswith(_CONVERSATION):
        raise UnsupportedValue(f"The event '{kind[:80]}' is not supported. {OFFERED}", param="type")
    if kind == "session.update" and _session_type(fields) == "realtime":
        message = f"The session type 'realtime' is not supported. {OFFERED}"
        raise UnsupportedValue(message, param="session.type")
    check(REALTIME_EVENT, fields)
    needed = _NEEDED.get(kind)
    if needed and needed not in fields:
        raise MissingParameter(f"Missing required parameter: '{needed}'.", param=needed)


def _session_type(fields: Fields) -> object:
    session = fields.get("session")
    return session.get("type") if isinstance(session, dict) else None
