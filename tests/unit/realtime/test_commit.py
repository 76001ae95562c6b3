"""A commit while text is looked for: the engine never answers that, and no transcript waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from app.realtime.configuration import Transcription
from app.realtime.job_thread import JobThread
from app.realtime.live_transcript import LiveText
from app.realtime.utterance import Committed, Utterance
from app.request_context import RequestContext
from app.requests.parse import parse
from app.scheduling import SchedulingClass
from app.transcript import Transcript
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcriber import Transcriber
from app.waveform import SAMPLE_RATE, Samples
from app.waveform.audio_limits import AudioLimits
from tests.scripted_engine import result, spell
from tests.unit.transcription.late_engine import LateEngine

PATIENCE_SECONDS = 120
SPEECH = np.full(2 * SAMPLE_RATE, 0.1, np.float32)


class Speaking:
    """Somebody speaks all the time."""

    def probabilities(self, samples: Samples) -> list[float]:
        return [0.9] * (len(samples) // 512)

    def reset(self) -> None:
        pass


class Model:
    """An UtteranceModel whose engine answers nothing of itself, but whose transcripts need no engine."""

    def __init__(self) -> None:
        self.engine = LateEngine(lambda window, options: result(*spell(" Hello")))
        reader = AudioReader(AudioLimits(), lambda limit: limit)
        self._transcriber = Transcriber(lambda context: self.engine, Policy(), reader, ResumeStore(0))

    def live(self, request: TranscriptionRequest) -> LiveText:
        return LiveText(self._transcriber, request, Speaking())

    def transcribe(
        self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext
    ) -> Transcript:
        return Transcript("transcribe", "en", 2.0, "Hello.")

    @contextmanager
    def hold(self, name: str, context: RequestContext) -> Iterator["Model"]:
        yield self

    def new_context(self) -> RequestContext:
        return RequestContext.of(PATIENCE_SECONDS, scheduling_class=SchedulingClass.UTTERANCE)


def test_a_commit_ends_the_look_for_text() -> None:
    model, idle, sent = Model(), threading.Event(), list[dict[str, Any]]()
    asked = threading.Event()
    submit = model.engine.submit
    model.engine.submit = lambda *args: (submit(*args), asked.set())[0]  # type: ignore[method-assign]
    transcription = Transcription("whisper-1", parse({"model": "whisper-1", "language": "en"}, "transcribe"))
    utterance = Utterance("item", transcription, model.hold, model.new_context)
    jobs = JobThread(idle.set)
    jobs.add(lambda: utterance.update(SPEECH, sent.append))
    assert asked.wait(PATIENCE_SECONDS)
    utterance.live_context.cancel()
    jobs.add(lambda: sent.extend(utterance.answer(Committed(b"", transcription)).events))
    assert idle.wait(PATIENCE_SECONDS)
    assert [(event["type"].split(".")[-1], event.get("transcript")) for event in sent] == [
        ("delta", None),
        ("completed", "Hello."),
    ]
    (job,) = model.engine.jobs
    assert job.window.recording.closed  # the engine drops it
    assert job.window.recording.scheduling_class is SchedulingClass.LIVE_TEXT
