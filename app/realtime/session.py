"""One session of realtime transcription: events in, events out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.base64_data import decode_base64
from app.errors import InvalidParameter, InvalidRequest, SpeechError
from app.realtime import events
from app.realtime.configuration import Configuration, Parse
from app.realtime.events import Event, new_id
from app.realtime.input_buffer import InputBuffer
from app.realtime.job_thread import JobThread
from app.realtime.utterance import Transcribe, Utterance, UtteranceEnd

Fields = dict[str, Any]

OFFERED = (
    "This server offers transcription sessions: connect to /v1/realtime?intent=transcription, and send "
    "session.update with session.type 'transcription' and session.audio.input.transcription."
)
LONGEST_EVENT_ID = 512
LEAST_MS = 100
"""Less audio can't be committed."""
MOST_BUFFERED_MS = 600_000
"""The most audio that waits for a commit."""
MOST_AUDIO_BYTES = 15 * 1024 * 1024
"""The most audio in one event."""
MOST_WAITING = 4
"""The most utterances that wait to be transcribed; until one is, nothing more is read."""


@dataclass(frozen=True)
class Services:
    """What sessions use. All of it may be called from any thread.

    `parse_event` makes fields of a client event, and `check_event` checks them; both raise InvalidRequest.
    `parse` makes the request of a configuration. `transcribe` transcribes a file. `ended` is called after
    each utterance.
    """

    parse_event: Callable[[bytes | bytearray], Fields]
    check_event: Callable[[Fields], None]
    parse: Parse
    transcribe: Transcribe
    ended: UtteranceEnd


class Session:
    """Takes a client's events, one at a time, and calls `send` with its own, also from another thread.

    `wake()` is called when there is room for more events again, or when nothing is left to transcribe.
    `expires_at` is in Unix seconds, `heard_ms` how much audio came, `utterances` how many were committed.
    """

    def __init__(
        self,
        services: Services,
        send: Callable[[Event], None],
        wake: Callable[[], None],
        configuration: Configuration,
        expires_at: int,
        *,
        for_transcription: bool = True,
    ) -> None:
        self.id = new_id("sess")
        self.heard_ms = 0
        self.utterances = 0
        self._services = services
        self._send = send
        self._configuration = configuration
        self._expires_at = expires_at
        self._for_transcription = for_transcription
        self._buffer = InputBuffer(configuration.format)
        self._jobs = JobThread(wake)
        self._item_id = new_id("item")
        self._previous_item_id: str | None = None
        self._closed = False

    @property
    def takes_more(self) -> bool:
        """Whether more events may be handed over; else the client must wait."""
        return self._jobs.waiting < MOST_WAITING

    @property
    def idle(self) -> bool:
        """Whether all that was committed is answered."""
        return not self._jobs.waiting

    @property
    def closed(self) -> bool:
        """Whether the client has gone."""
        return self._closed

    def open(self) -> None:
        """Send `session.created`."""
        self._send(events.event("session.created", session=self._described()))

    def receive(self, data: bytes | bytearray) -> None:
        """Take one event. What is wrong with it is answered with `error`."""
        event_id = None
        try:
            event = self._services.parse_event(data)
            event_id = _event_id(event)
            self._services.check_event(event)
            self._check_kind(event)
            _HANDLERS[event["type"]](self, event)
        except SpeechError as error:
            self._send(events.error_event(error, event_id))

    def close(self) -> None:
        """The client has gone: its audio is dropped and its work cancelled."""
        self._closed = True
        self._buffer.clear()

    def _described(self) -> Fields:
        fixed = {"id": self.id, "object": "realtime.transcription_session", "expires_at": self._expires_at}
        return {**fixed, **self._configuration.described}

    def _check_kind(self, event: Fields) -> None:
        """Raise InvalidRequest for all but a transcription `session.update` until the session has a kind."""
        if event["type"] == "session.update":
            self._for_transcription = True
        elif not self._for_transcription:
            raise InvalidRequest(f"This session's type is not known. {OFFERED}", param="type")

    def _update(self, event: Fields) -> None:
        updated = self._configuration.updated(event["session"], self._services.parse)
        if updated.format != self._buffer.format:
            if self._buffer.milliseconds:
                raise InvalidParameter(
                    "The audio format can't be changed while the input audio buffer holds audio. Send "
                    "input_audio_buffer.commit or input_audio_buffer.clear before.",
                    param="session.audio.input.format",
                )
            self._buffer.change_format(updated.format)
        self._configuration = updated
        self._send(events.event("session.updated", session=self._described()))

    def _append(self, event: Fields) -> None:
        if self._configuration.request is None:
            raise InvalidRequest(
                "The session has no transcription. Send session.update with session.type 'transcription' and "
                "session.audio.input.transcription before audio.",
                param="session.audio.input.transcription",
            )
        audio = _decoded(event["audio"])
        self._check_room(len(audio))
        self._buffer.append(audio)
        self.heard_ms = self._buffer.end_ms

    def _check_room(self, size: int) -> None:
        coming_ms = size / self._buffer.format.bytes_per_ms
        if self._buffer.milliseconds + coming_ms > MOST_BUFFERED_MS:
            raise InvalidParameter(
                f"The input audio buffer holds {self._buffer.milliseconds / 1000:.1f} seconds, and "
                f"{coming_ms / 1000:.1f} more are over its limit of {MOST_BUFFERED_MS // 1000}. Send "
                "input_audio_buffer.commit or input_audio_buffer.clear before.",
                param="audio",
                code="input_audio_buffer_full",
            )

    def _commit(self, _event: Fields) -> None:
        milliseconds = self._buffer.milliseconds
        if milliseconds < LEAST_MS:
            raise InvalidParameter(
                f"Error committing input audio buffer: buffer too small. Expected at least {LEAST_MS}ms of "
                f"audio, but buffer only has {milliseconds:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        self._end_utterance(self._buffer.take_all())

    def _end_utterance(self, audio: bytes) -> None:
        """Make an item of the audio, and have it transcribed."""
        item_id, self._item_id = self._item_id, new_id("item")
        for event in events.committed(item_id, self._previous_item_id):
            self._send(event)
        self._previous_item_id = item_id
        self.utterances += 1
        request = self._configuration.request
        assert request is not None  # or there would be no audio
        utterance = Utterance(item_id, self._buffer.format.wav(audio), request, lambda: self._closed)
        services = self._services
        self._jobs.add(lambda: utterance.answer(services.transcribe, self._send, services.ended))

    def _clear(self, _event: Fields) -> None:
        self._buffer.clear()
        self._item_id = new_id("item")
        self._send(events.event("input_audio_buffer.cleared"))


_HANDLERS: dict[str, Callable[[Session, Fields], None]] = {
    "session.update": Session._update,
    "input_audio_buffer.append": Session._append,
    "input_audio_buffer.commit": Session._commit,
    "input_audio_buffer.clear": Session._clear,
}
CLIENT_EVENTS = tuple(_HANDLERS)
"""The types of the events that a session takes."""


def _event_id(event: Fields) -> str | None:
    """The client's id of an event that is not checked yet; None if it can't be one."""
    event_id = event.get("event_id")
    return event_id if isinstance(event_id, str) and len(event_id) <= LONGEST_EVENT_ID else None


def _decoded(text: str) -> bytes:
    """The audio behind base64. Raises InvalidParameter."""
    try:
        audio = decode_base64(text)
    except ValueError as error:
        raise InvalidParameter(
            "Invalid 'audio': expected base64-encoded audio without a header.", param="audio"
        ) from error
    if len(audio) > MOST_AUDIO_BYTES:
        raise InvalidParameter(
            f"Invalid 'audio': expected at most {MOST_AUDIO_BYTES} bytes of audio in one event, but got "
            f"{len(audio)} bytes.",
            param="audio",
        )
    return audio
