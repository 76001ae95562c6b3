"""What sessions are made of in tests: a model that is told what it hears, and nobody at the other end."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from threading import Event, Lock
from time import sleep
from typing import Any, BinaryIO

from app.errors import SpeechError
from app.realtime.interface import Heard, SpeechStarted, SpeechStopped, TurnDetection
from app.realtime.session import Services
from app.request_context import RequestContext
from app.requests.parse import AudioRequest, parse
from app.transcript import Transcript
from app.transcription.request import TranscriptionRequest
from app.waveform import Samples

PATIENCE_SECONDS = 120.0
BYTES_PER_MS = 48


def session_of(**input: Any) -> dict[str, Any]:
    return {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None, **input}},
    }


def event(kind: str, **values: Any) -> bytes:
    return json.dumps({"type": kind, **values}).encode()


def append(milliseconds: int) -> bytes:
    return event("input_audio_buffer.append", audio=b64encode(bytes(BYTES_PER_MS * milliseconds)).decode())


UPDATE = event("session.update", session=session_of())
COMMIT = event("input_audio_buffer.commit")


class NoText:
    """Hears nothing before the end."""

    heard = Heard()
    begin = 0

    def __init__(self, decodes: "Decodes") -> None:
        self._decodes = decodes

    def update(self, samples: Samples, context: RequestContext) -> str:
        with self._decodes.one():
            self._decodes.looks.append((self.begin, len(samples)))
            self.begin += len(samples) // 2
            return ""

    def finish(self, transcript: str) -> str:
        return transcript


class Decodes:
    """How many updates and transcripts there were, and how many of them at a time.

    `looks` are the updates' samples: the number of the first one, and how many there were.
    """

    def __init__(self) -> None:
        self.looks: list[tuple[int, int]] = []
        self._lock = Lock()
        self._now = self.most_at_a_time = self.all = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """An update or transcript, which takes a moment."""
        with self._lock:
            self._now += 1
            self.all += 1
            self.most_at_a_time = max(self.most_at_a_time, self._now)
        sleep(0.002)
        yield
        with self._lock:
            self._now -= 1


@dataclass
class Record:
    """Notes what it is told."""

    notes: list[Any] = field(default_factory=list)

    def opened(self) -> None:
        self.notes.append("opened")

    def delta_sent(self, seconds: float) -> None:
        self.notes.append("delta")

    def answered(self, item_id: str, seconds: float, error: SpeechError | None) -> None:
        self.notes.append(error or "answered")

    def closed(self, code: int, heard_ms: int) -> None:
        self.notes.append((int(code), heard_ms))


class Scripted:
    """A detector that reports each event once its time has come."""

    def __init__(self, script: list[SpeechStarted | SpeechStopped]) -> None:
        self.script, self.now_ms = script, 0

    def feed(self, samples: Samples) -> list[SpeechStarted | SpeechStopped]:
        self.now_ms += len(samples) // 16
        due = [found for found in self.script if found.at_ms <= self.now_ms - 50]
        self.script = self.script[len(due) :]
        return due

    def reset(self, at_ms: int) -> None:
        self.now_ms = at_ms


class Worker:
    """The services of sessions. Transcripts wait for `may_answer`; each is the length of its audio."""

    def __init__(self, *script: SpeechStarted | SpeechStopped) -> None:
        self.script = list(script)
        self.record = Record()
        self.may_answer = Event()
        self.may_answer.set()
        self.held = 0
        self.files: list[int] = []
        self.decodes = Decodes()

    def services(self) -> Services:
        return Services(
            json.loads,
            lambda fields: None,
            self.parse,
            lambda gone: RequestContext.of(inf, gone),
            self.hold,
            self.detector,
            self.record,
        )

    def parse(self, fields: dict[str, Any]) -> AudioRequest:
        return parse(fields, "transcribe")

    def detector(self, detection: TurnDetection, heard: Callable[[], Heard]) -> Scripted:
        return Scripted(self.script)

    @contextmanager
    def hold(self, name: str, context: RequestContext) -> Iterator["Worker"]:
        self.held += 1
        try:
            yield self
        finally:
            self.held -= 1

    def live(self, request: TranscriptionRequest) -> NoText:
        return NoText(self.decodes)

    def transcribe(
        self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext
    ) -> Transcript:
        while not self.may_answer.wait(0.01):
            context.check()
        with self.decodes.one():
            milliseconds = (len(file.read()) - 44) // BYTES_PER_MS
        self.files.append(milliseconds)
        return Transcript("transcribe", "en", milliseconds / 1000, f"{milliseconds} ms")
