"""The open sessions of a worker: their threads, their limits and their end."""

import logging
from collections import Counter
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from threading import Condition
from time import monotonic, time

from websockets.frames import CloseCode

from app.background import run_in_background
from app.errors import InvalidParameter, InvalidRequest, ServerBusy, SpeechError
from app.formats.wire import dump_json
from app.held_audio import AudioShare, HeldAudio
from app.realtime.configuration import Configuration
from app.realtime.connection import Bytes, Connection, Stream
from app.realtime.events import Event, error_event
from app.realtime.message_room import MessagePlace, MessageRoom
from app.realtime.protocol import MAX_MESSAGE_BYTES, RealtimeProtocol
from app.realtime.session import CANCEL_SECONDS, Channel, Services, Session

STOP_SECONDS = 8.0
"""How long a session of a worker that stops may take to answer what was committed."""

SENDING_SECONDS = 5.0
"""A session that has sent no audio for so long, and waits for nothing, doesn't count as sending."""
MOST_HELD_SECONDS = 3_600
"""The most audio that all sessions together hold: not committed, or not answered."""

_BUSY_SECONDS = 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """`sessions` are open at a time, `per_caller` of them for one caller; `sending` of them send audio.

    A session is closed when its client has sent nothing for `idle_seconds`, and when it has lasted for
    `session_seconds`.
    """

    sessions: int = 200
    per_caller: int = 100
    sending: int = 16
    idle_seconds: float = 600.0
    session_seconds: float = 3600.0


@dataclass(frozen=True)
class Opening:
    """What a session is made of. `caller` counts as one for the limits.

    `for_transcription`: the client has said that it wants to transcribe.
    """

    protocol: RealtimeProtocol
    services: Services
    configuration: Configuration
    for_transcription: bool
    caller: str


class Sessions:
    """A worker's sessions. Any thread may call it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._changed = Condition()
        self._held = HeldAudio(MOST_HELD_SECONDS)
        self._room = MessageRoom()
        self._places = Counter[str]()
        self._open: set[OpenSession] = set()
        self._stop_at = inf

    @property
    def count(self) -> int:
        """How many are open or about to be."""
        return self._places.total()

    def admit(self, opening: Opening) -> "AdmittedSession":
        """Take a place for a new session. Raises ServerBusy."""
        limits, caller = self.limits, opening.caller
        with self._changed:
            if self._stop_at < inf:
                raise ServerBusy("The server is stopping. Please retry.")
            if self.count >= limits.sessions:
                raise _full(f"{limits.sessions} realtime sessions are open, which is the maximum.")
            if self._places[caller] >= limits.per_caller:
                raise _full(f"You have {limits.per_caller} realtime sessions open, which is the maximum.")
            self._check_sending(caller)
            self._places[caller] += 1
        return AdmittedSession(self, opening)

    def start_sending(self, opened: "OpenSession") -> None:
        """A session is about to take audio. Raises ServerBusy."""
        with self._changed:
            if not opened.sending:
                self._check_sending(opened.caller)
            opened.heard = monotonic()

    def share(self) -> AudioShare:
        """A new session's share of the audio that all of them hold."""
        return self._held.share()

    def place(self) -> MessagePlace:
        """A new session's part of the room for long messages."""
        return self._room.place()

    def _check_sending(self, caller: str) -> None:
        """Raise ServerBusy if no more may send; one caller may take half while others have sessions."""
        most, senders = self.limits.sending, [opened.caller for opened in self._open if opened.sending]
        if len(senders) >= most:
            raise _full(f"{most} realtime sessions send audio, which is this server's maximum.")
        share = ceil(most / 2)
        if senders.count(caller) >= share and any(opened.caller != caller for opened in self._open):
            raise _full(f"{share} of your realtime sessions send audio, which is your share of {most}.")

    def add(self, opened: "OpenSession") -> None:
        """A session has its connection."""
        with self._changed:
            self._open.add(opened)
            if self._stop_at < inf:
                opened.stop(self._stop_at)

    def remove(self, opened: "OpenSession | None", caller: str) -> None:
        """A session has ended, or has never had a connection: give its place back."""
        with self._changed:
            self._open -= {opened}
            self._places[caller] -= 1
            self._places += Counter()  # removes callers with none
            self._changed.notify_all()

    def stop(self) -> None:
        """Close all sessions with 1012 once they have answered what was committed; none is opened anymore."""
        with self._changed:
            self._stop_at = min(self._stop_at, monotonic() + STOP_SECONDS)
            for opened in self._open:
                opened.stop(self._stop_at)

    def wait_until_closed(self) -> None:
        """Wait for the end of all sessions, after `stop`, but not much longer than they have for it."""
        limit = self._stop_at + CANCEL_SECONDS + 1
        with self._changed:
            self._changed.wait_for(lambda: not self._places, max(0.0, limit - monotonic()))


class AdmittedSession:
    """A session that has its place, but no connection yet. One of the two methods is called, once."""

    def __init__(self, sessions: Sessions, opening: Opening) -> None:
        self._sessions = sessions
        self._opening = opening

    def abandon(self) -> None:
        """It gets no connection."""
        self._sessions.remove(None, self._opening.caller)

    def serve(self, stream: Stream, early: bytes) -> None:
        """Take a connection over, in a thread of its own; `early` was read behind the client's handshake.

        Raises ServerBusy if it can't be started, for want of a thread or a descriptor: its place is given
        back then, and the connection, on which nothing was sent, stays the caller's.
        """
        opened = None
        try:
            opened = OpenSession(self._sessions, stream, early, self._opening)
            run_in_background(partial(self._serve, opened), "realtime-session")
        except Exception as error:
            if opened:
                opened.discard()
            self.abandon()
            _log.exception("A realtime session can't be started")
            raise _full("The server has no room for a realtime session at present.") from error

    def _serve(self, opened: "OpenSession") -> None:
        try:
            self._sessions.add(opened)
            opened.serve()
        except Exception:
            _log.exception("A realtime session failed")
        finally:
            self._sessions.remove(opened, self._opening.caller)


class OpenSession:
    """A session and its connection: a Handler. `heard`: when `caller` sent audio last (monotonic)."""

    def __init__(self, sessions: Sessions, stream: Stream, early: bytes, opening: Opening) -> None:
        self.heard = -inf
        self.caller = opening.caller
        self._limits = limits = sessions.limits
        self._session = Session(
            opening.services,
            Channel(
                self._send,
                self._wake,
                lambda: sessions.start_sending(self),
                sessions.share(),
            ),
            opening.configuration,
            int(time() + limits.session_seconds),
            for_transcription=opening.for_transcription,
        )
        self._record = opening.services.record
        self._began = self._active = monotonic()
        self._stop_at = inf
        self._stopped = False
        self._connection = Connection(stream, opening.protocol, sessions.place(), early)

    @property
    def sending(self) -> bool:
        """Whether it has sent audio of late, or has utterances that are not answered yet."""
        return not self._session.idle or monotonic() - self.heard < SENDING_SECONDS

    def serve(self) -> None:
        """Exchange events until the connection is closed."""
        self._connection.serve(self)

    def discard(self) -> None:
        """It will not be served; its stream stays open."""
        self._connection.discard()

    @property
    def takes_more(self) -> bool:
        """Whether `receive` may be called."""
        return self._stop_at == inf and self._session.takes_more

    def open(self) -> None:
        """Send `session.created`."""
        self._record.opened()
        self._session.open()

    def receive(self, data: Bytes, *, is_text: bool) -> None:
        """Hand an event over."""
        self._active = monotonic()
        if is_text:
            self._session.receive(data)
            return
        self._refuse(
            InvalidRequest(
                "Expected an event as a text message, but got a binary one. Send audio as base64 in "
                "input_audio_buffer.append."
            )
        )

    def refuse_long(self) -> None:
        """Answer a message that was dropped."""
        self._active = monotonic()
        self._refuse(
            InvalidParameter(
                f"The message is longer than {MAX_MESSAGE_BYTES} bytes, which is the maximum.",
                code="message_too_long",
            )
        )

    def _refuse(self, error: SpeechError) -> None:
        self._send(error_event(error, None))

    def _send(self, event: Event) -> None:
        self._connection.send(dump_json(event))

    def _wake(self) -> None:
        self._connection.wake()

    def due(self) -> tuple[float, int, str]:
        """When to close, as things are now, and why. A session with unanswered utterances isn't idle."""
        if self._stop_at < inf and not self._stopped:
            self._stopped = True
            self._session.stop()
        limits, idle = self._limits, self._session.idle
        stop_at = self._stop_at if not idle or self._stop_at == inf else 0.0
        idle_at = self._active + limits.idle_seconds if idle else inf
        return min(
            (stop_at, CloseCode.SERVICE_RESTART, "The server is restarting. Please connect again."),
            (idle_at, CloseCode.GOING_AWAY, f"Nothing was sent for {limits.idle_seconds:g} seconds."),
            (
                self._began + limits.session_seconds,
                CloseCode.GOING_AWAY,
                f"The session has reached its maximum duration of {limits.session_seconds:g} seconds.",
            ),
        )

    def stop(self, at: float) -> None:
        """Close it at a time (monotonic), or earlier if all is answered. Any thread may call it."""
        self._stop_at = at
        self._connection.stream.deadline = at
        self._connection.wake()

    def close(self, code: int) -> None:
        """End the session."""
        heard_ms = self._session.heard_ms
        self._session.close()
        self._record.closed(code, heard_ms)


def _full(sentence: str) -> ServerBusy:
    return ServerBusy(f"{sentence} Please retry later.", retry_after_seconds=_BUSY_SECONDS)
