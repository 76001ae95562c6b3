"""A client that leaves after every few questions to the model gets the answer of one that stays."""

import io
import math
from collections.abc import Callable
from typing import Any

import pytest

from app.engines.interface import DecodingOptions, Engine
from app.errors import ClientGone
from app.request_context import RequestContext
from app.transcript import Transcript
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.waveform import SAMPLE_RATE
from tests.oracle.recordings import sample
from tests.transcripts import transcribe

TWO_WINDOWS = 45 * SAMPLE_RATE
QUESTIONS = ("submit", "score", "align", "detect_language")
REQUEST = TranscriptionRequest(
    temperatures=(0.4,), decoding=DecodingOptions(best_of=2), word_timestamps=True, logprobs=True
)


class Counted:
    """An engine that counts what the model is asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._engine, name)
        return self._counted(attribute) if name in QUESTIONS else attribute

    def _counted(self, question: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*told: Any) -> Any:
            self.asked += 1
            return question(*told)

        return ask


def ask(uploads: ResumeStore, engine: Counted, stays_for: float) -> Transcript:
    """The answer for a client that leaves with the last of so many questions."""
    last = engine.asked + stays_for
    context = RequestContext.of(600, lambda: engine.asked >= last)
    with uploads.resuming(engine, io.BytesIO(b"minute"), REQUEST, context) as seen:
        return transcribe(seen, sample("minute.flac")[:TWO_WINDOWS], REQUEST, Policy(strict=True), context)


@pytest.mark.parametrize("engine", ["batched"], indirect=True)
def test_every_answer_is_used(engine: Engine) -> None:
    undisturbed, disturbed = Counted(engine), Counted(engine)
    expected = ask(ResumeStore(0), undisturbed, math.inf)
    uploads, left = ResumeStore(3_600), 0
    while True:
        try:
            answer = ask(uploads, disturbed, 4)
        except ClientGone:
            left += 1
        else:
            break
    uploads.close()
    assert answer == expected
    assert left >= 2
    # who leaves loses the answer to the last question at most
    assert undisturbed.asked <= disturbed.asked <= undisturbed.asked + left
