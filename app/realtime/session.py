"""One session of realtime transcription: events in, events out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from app.errors import InvalidParameter, InvalidRequest, ServerBusy, SpeechError
from app.held_audio import AudioShare
from app.realtime import events
from app.realtime.audio_checks import check_length, check_room, decoded_audio, samples_in
from app.realtime.configuration import Configuration, Parse, Transcription
from app.realtime.events import event_id_of, new_id
from app.realtime.input_audio import InputAudio, TurnStarted
from app.realtime.interface import (
    MOST_SAMPLES,
    Heard,
    HoldModel,
    NewTurnDetector,
    SessionRecord,
    TurnDetector,
)
from app.realtime.job_thread import JobThread
from app.realtime.utterance import Committed, Send, Utterance
from app.request_context import RequestContext
from app.waveform import SAMPLE_RATE, Samples

Fields = dict[str, Any]

OFFERED = (
    "This server offers transcription sessions: connect to /v1/realtime?intent=transcription, and send "
    "session.update with session.type 'transcription' and session.audio.input.transcription."
)
MOST_WAITING = 100
MOST_WAITING_SECONDS = 300
"""The most utterances that wait to be transcribed, and their audio; until one is, nothing more is read.

A client whose data are not read doesn't get its pings answered either, and may think that the server has
gone. So this is as much as a client sends that has a file and no microphone.
"""
CANCEL_SECONDS = 2.0
"""How long work that was cancelled may take until it notices; a worker that stops waits for it."""
UPDATE_MS = 200
"""How much must be heard until more text is looked for."""


@dataclass(frozen=True)
class Services:
    """What sessions use. All of it may be called from any thread.

    `parse_event` makes fields of a client event, and `check_event` checks them; both raise InvalidRequest.
    `parse` makes the request of a configuration. `new_context(client_gone)` is for the work for an utterance,
    `hold_model` gives it its model.
    """

    parse_event: Callable[[bytes | bytearray], Fields]
    check_event: Callable[[Fields], None]
    parse: Parse
    new_context: Callable[[Callable[[], bool]], RequestContext]
    hold_model: HoldModel
    new_turn_detector: NewTurnDetector
    record: SessionRecord


@dataclass(frozen=True)
class Channel:
    """What a session has of its connection and of its worker.

    `send` is called with events, also from another thread, and `wake` when there is room for more events
    again, or nothing left to transcribe. `start_sending` is called before audio is taken, and raises
    ServerBusy. `held` is the session's share of the audio that all sessions hold.
    """

    send: Send
    wake: Callable[[], None]
    start_sending: Callable[[], None]
    held: AudioShare


class Session:
    """Takes a client's events, one at a time. `expires_at` is in Unix seconds."""

    def __init__(
        self,
        services: Services,
        channel: Channel,
        configuration: Configuration,
        expires_at: int,
        *,
        for_transcription: bool = True,
    ) -> None:
        self.id = new_id("sess")
        self._services = services
        self._channel = channel
        self._send = channel.send
        self._configuration = configuration
        self._expires_at = expires_at
        self._for_transcription = for_transcription
        self._jobs = JobThread(channel.wake)
        self._closed = False
        self._utterance: Utterance | None = None
        self._updated_ms = 0
        self._previous_item_id: str | None = None
        self._audio = InputAudio(configuration.format, self._detector(configuration))

    @property
    def takes_more(self) -> bool:
        """Whether more events may be handed over; else the client must wait."""
        return self._jobs.waiting < MOST_WAITING and self._jobs.waiting_seconds < MOST_WAITING_SECONDS

    @property
    def idle(self) -> bool:
        """Whether all that was committed is answered."""
        return not self._jobs.waiting

    @property
    def heard_ms(self) -> int:
        """How much audio came."""
        return self._audio.now_ms

    def open(self) -> None:
        """Send `session.created`."""
        self._send(events.event("session.created", session=self._described()))

    def receive(self, data: bytes | bytearray) -> None:
        """Take one event. What is wrong with it is answered with `error`."""
        event_id = None
        try:
            event = self._services.parse_event(data)
            event_id = event_id_of(event)
            self._services.check_event(event)
            self._check_kind(event)
            _HANDLERS[event["type"]](self, event)
            self._settle()
        except SpeechError as error:
            self._send(events.error_event(error, event_id))

    def stop(self) -> None:
        """What is not committed is dropped; what is, is still answered."""
        self._drop_utterance()
        self._audio.clear()
        self._settle()

    def close(self) -> None:
        """The client has gone: its audio is dropped, and its work is cancelled and has ended, if it does."""
        self._closed = True
        self.stop()
        self._channel.held.close()
        self._jobs.wait(CANCEL_SECONDS)

    def _described(self) -> Fields:
        fixed = {"id": self.id, "object": "realtime.transcription_session", "expires_at": self._expires_at}
        return {**fixed, **self._configuration.described}

    def _check_kind(self, event: Fields) -> None:
        """Raise InvalidRequest for all but a transcription `session.update` until the session has a kind."""
        if event["type"] == "session.update":
            self._for_transcription = True
        elif not self._for_transcription:
            raise InvalidRequest(f"This session's type is not known. {OFFERED}", param="type")

    def _detector(self, configuration: Configuration) -> TurnDetector | None:
        detection = configuration.turn_detection
        return self._services.new_turn_detector(detection, self._heard) if detection else None

    def _heard(self) -> Heard:
        return self._utterance.heard if self._utterance else Heard()

    def _update(self, event: Fields) -> None:
        before = self._configuration
        updated = before.updated(event["session"], self._services.parse)
        if updated.format != before.format and self._audio.in_utterance:
            raise InvalidParameter(
                "The audio format can't be changed while the input audio buffer holds audio. Send "
                "input_audio_buffer.commit or input_audio_buffer.clear before.",
                param="session.audio.input.format",
            )
        if (updated.format, updated.turn_detection) != (before.format, before.turn_detection):
            self._audio.configure(updated.format, self._detector(updated))
            if updated.turn_detection:
                self._drop_utterance()  # the new detector's first turn is another one
        self._configuration = updated
        self._send(events.event("session.updated", session=self._described()))

    def _append(self, event: Fields) -> None:
        self._transcription()
        audio = decoded_audio(event["audio"])
        check_room(self._audio, len(audio))
        self._channel.start_sending()
        self._channel.held.take(samples_in(self._audio.format, len(audio)))
        for turn in self._audio.append(audio):
            if isinstance(turn, TurnStarted):
                self._announce("started", audio_start_ms=turn.at_ms)
            else:
                self._announce("stopped", audio_end_ms=turn.at_ms)
                self._end_utterance(turn.audio)
        self._update_text()

    def _settle(self) -> None:
        """Hold what there is now, which is never more than before."""
        held = self._channel.held
        held.take(min(0, round(self._audio.milliseconds * SAMPLE_RATE / 1000) - held.samples))

    def _announce(self, what: str, **at_ms: int) -> None:
        item_id = self._utterance_under_way().item_id
        self._send(events.event(f"input_audio_buffer.speech_{what}", item_id=item_id, **at_ms))

    def _update_text(self) -> None:
        """Look for more text of the utterance that is under way, unless the last look is not over."""
        ready = self.idle and self._audio.now_ms - self._updated_ms >= UPDATE_MS
        if ready and self._audio.in_utterance:
            self._updated_ms = self._audio.now_ms
            utterance = self._utterance_under_way()
            samples = self._audio.so_far(utterance.begin, MOST_SAMPLES)
            self._jobs.add(partial(self._look_for_text, utterance, samples, monotonic()))

    def _look_for_text(self, utterance: Utterance, samples: Samples, at: float) -> None:
        if utterance.update(samples, self._send):
            self._services.record.delta_sent(monotonic() - at)

    def _commit(self, _event: Fields) -> None:
        check_length(self._audio)
        self._transcription()
        self._end_utterance(self._audio.take())

    def _utterance_under_way(self) -> Utterance:
        """The one that the next commit ends."""
        if not self._utterance:
            hold_model = self._services.hold_model
            self._utterance = Utterance(new_id("item"), self._transcription(), hold_model, self._new_context)
        return self._utterance

    def _transcription(self) -> Transcription:
        """What utterances are transcribed with. Raises InvalidRequest if the client has not said."""
        transcription = self._configuration.transcription
        if transcription is None:
            raise InvalidRequest(
                "The session has no transcription. Send session.update with session.type 'transcription' and "
                "session.audio.input.transcription before audio.",
                param="session.audio.input.transcription",
            )
        return transcription

    def _new_context(self) -> RequestContext:
        return self._services.new_context(lambda: self._closed)

    def _end_utterance(self, audio: bytes) -> None:
        """Make an item of the audio, and have it transcribed."""
        utterance, self._utterance = self._utterance_under_way(), None
        utterance.live_context.cancel()
        for event in events.committed(utterance.item_id, self._previous_item_id):
            self._send(event)
        self._previous_item_id = utterance.item_id
        samples = samples_in(self._audio.format, len(audio))
        held = self._channel.held.split(samples)
        committed = Committed(self._audio.format.wav(audio), self._transcription())
        if not self._jobs.add(partial(self._answer, utterance, committed, held), samples / SAMPLE_RATE):
            self._fail(utterance, held)

    def _answer(self, utterance: Utterance, committed: Committed, held: AudioShare) -> None:
        with held:
            answered = utterance.answer(committed)
        self._services.record.answered(utterance.item_id, answered.seconds, answered.error)
        for event in answered.events:
            self._send(event)

    def _fail(self, utterance: Utterance, held: AudioShare) -> None:
        """Answer an utterance that no thread can be had for."""
        held.close()
        utterance.release()
        error = ServerBusy("The server has no thread to spare for the utterance. Please retry later.")
        self._services.record.answered(utterance.item_id, 0.0, error)
        self._send(events.failed(utterance.item_id, error))

    def _clear(self, _event: Fields) -> None:
        self._drop_utterance()
        self._audio.clear()
        self._send(events.event("input_audio_buffer.cleared"))

    def _drop_utterance(self) -> None:
        if self._utterance:
            self._utterance.drop()
            if not self._jobs.add(self._utterance.release):
                self._utterance.release()
            self._utterance = None


_HANDLERS: dict[str, Callable[[Session, Fields], None]] = {
    "session.update": Session._update,
    "input_audio_buffer.append": Session._append,
    "input_audio_buffer.commit": Session._commit,
    "input_audio_buffer.clear": Session._clear,
}
CLIENT_EVENTS = tuple(_HANDLERS)
"""The types of the events that a session takes."""
