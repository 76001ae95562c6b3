"""OpenAI's SDK in a realtime session: every event is held strictly against the SDK's own types."""

import io
import wave
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from openai.resources.realtime.realtime import RealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from openai.types.websocket_connection_options import WebSocketConnectionOptions
from pydantic import TypeAdapter
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.functional.checked_clients import openai_client
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import convert_to_pipe

EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
INTENT = {"intent": "transcription"}
TRANSCRIPTION = "conversation.item.input_audio_transcription"
PATIENT: dict[str, Any] = {
    "open_timeout": PATIENCE_SECONDS,
    "close_timeout": PATIENCE_SECONDS,
    "ping_timeout": PATIENCE_SECONDS,
}
"""The library's own time-outs are 10 and 20 s, which a busy machine may need."""
ENCODINGS = {
    "audio/pcm": ("-f", "s16le", "-ar", "24000"),
    "audio/pcmu": ("-f", "mulaw", "-ar", "8000"),
    "audio/pcma": ("-f", "alaw", "-ar", "8000"),
}

Event = dict[str, Any]


def audio_of(recording: Path, format: str = "audio/pcm") -> bytes:
    """A recording as a session's audio."""
    return convert_to_pipe(recording, "-ac", "1", *ENCODINGS[format])


def answer_for(server: GunicornServer, audio: bytes, **fields: str) -> Event:
    """What POST /v1/audio/transcriptions answers for an utterance in 24 kHz PCM."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(24_000)
        writer.writeframes(audio)
    answer = requests.post(
        f"{server.url}/v1/audio/transcriptions",
        data={"model": "whisper-1", **fields},
        files={"file": ("utterance.wav", file.getvalue())},
        timeout=PATIENCE_SECONDS,
    )
    body: Event = answer.json()
    return body


def session_of(model: str = "whisper-1", **input: Any) -> Event:
    """A session that commits by hand."""
    return {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": model}, "turn_detection": None, **input}},
    }


class RealtimeClient:
    """A connection of the SDK, and the events that it received."""

    def __init__(self, connection: RealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Event] = []

    def receive_within(self, seconds: float) -> Event | None:
        """The next event; None if none has come after so long."""
        with suppress(TimeoutError):
            return self.receive(seconds)
        return None

    def receive(self, seconds: float = PATIENCE_SECONDS) -> Event:
        """The next event, as the server wrote it. Raises TimeoutError."""
        data = self.connection._connection.recv(seconds, decode=False)
        EVENTS.validate_json(data, strict=True)
        event: Event = self.connection.parse_event(data).to_dict(mode="json")
        self.events.append(event)
        return event

    def receive_until(self, kind: str) -> Event:
        """The next event of a type; those before it are in `events`."""
        while (event := self.receive())["type"] != kind:
            assert event["type"] != "error" or kind == "error", event
        return event

    def send(self, kind: str, **values: Any) -> None:
        """An event."""
        self.connection.send({"type": kind, **values})  # type: ignore[misc]

    def update(self, session: Event) -> Event:
        """Send `session.update`; the session that is effective then."""
        self.send("session.update", session=session)
        updated: Event = self.receive_until("session.updated")["session"]
        return updated

    def append(self, audio: bytes, size: int = 32_000) -> None:
        """Send audio in pieces."""
        for start in range(0, len(audio), size):
            piece = audio[start : start + size]
            self.send("input_audio_buffer.append", audio=b64encode(piece).decode())

    def transcribe(self, audio: bytes) -> Event:
        """Send an utterance and commit it; its `completed`."""
        self.append(audio)
        self.send("input_audio_buffer.commit")
        return self.receive_until(f"{TRANSCRIPTION}.completed")

    def types(self) -> list[str]:
        """What was received."""
        return [event["type"] for event in self.events]


def websocket(
    port: int, key: str | None = None, origin: str | None = None, **headers: str
) -> ClientConnection:
    """A WebSocket as browsers open it."""
    names = ["realtime", *([f"openai-insecure-api-key.{key}"] if key else [])]
    return connect(
        f"ws://127.0.0.1:{port}/v1/realtime?intent=transcription",
        subprotocols=[Subprotocol(name) for name in names],
        origin=Origin(origin) if origin else None,
        additional_headers=headers,
        proxy=None,
        open_timeout=PATIENCE_SECONDS,
        close_timeout=PATIENCE_SECONDS,
    )


@contextmanager
def realtime(
    url: str, query: dict[str, Any] = INTENT, socket: WebSocketConnectionOptions | None = None, **options: Any
) -> Iterator[RealtimeClient]:
    """A session, whose `session.created` was received."""
    with (
        openai_client(url, **options) as client,
        client.realtime.connect(
            extra_query=query, websocket_connection_options={**PATIENT, **(socket or {})}
        ) as connection,
    ):
        session = RealtimeClient(connection)
        session.receive_until("session.created")
        yield session
