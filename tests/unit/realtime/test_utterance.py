"""One utterance, with a model that the test writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import pytest

from app.errors import ClientGone, EngineFailure, ServerBusy, SpeechError
from app.realtime.configuration import Transcription
from app.realtime.interface import Heard
from app.realtime.utterance import Committed, Utterance
from app.request_context import RequestContext
from app.requests.parse import parse
from app.transcript import Transcript
from app.transcription.request import TranscriptionRequest
from app.waveform import Samples

SAMPLES = np.zeros(1_600, np.float32)


def transcription(model: str = "first") -> Transcription:
    return Transcription(model, parse({"model": "whisper-1"}, "transcribe"))


class Live:
    """Sends `pieces` one by one."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = list(pieces)
        self.sent = ""
        self.begin = 0
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def heard(self) -> Heard:
        return Heard(self.sent + " and more", 100)

    def update(self, samples: Samples, context: RequestContext) -> str:
        self.meanwhile()
        piece = self.pieces.pop(0)
        self.begin += 100
        self.sent += piece
        return piece

    def finish(self, transcript: str) -> str:
        return transcript.removeprefix(self.sent)


class Models:
    """Lends models, and notes it. `failure` is raised by each transcription, `busy` by each loan."""

    def __init__(self, *pieces: str) -> None:
        self.notes: list[str] = []
        self.live_text = Live(*pieces)
        self.failure: Exception | None = None
        self.busy: SpeechError | None = None

    @contextmanager
    def hold(self, name: str, context: RequestContext) -> Iterator["Models"]:
        if self.busy:
            raise self.busy
        self.notes.append(f"+{name}")
        try:
            yield self
        finally:
            self.notes.append(f"-{name}")

    def live(self, request: TranscriptionRequest) -> Live:
        return self.live_text

    def transcribe(
        self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext
    ) -> Transcript:
        self.notes.append(file.read().decode())
        context.check()
        if self.failure:
            raise self.failure
        return Transcript("transcribe", "en", 1.0, " All words. ")


class Spoken:
    """An utterance, and what was sent of it."""

    def __init__(self, models: Models) -> None:
        self.gone = False
        self.sent: list[dict[str, Any]] = []
        self.utterance = Utterance("item_1", transcription(), models.hold, self.context)

    def context(self) -> RequestContext:
        return RequestContext.of(100, lambda: self.gone)

    def update(self) -> bool:
        return self.utterance.update(SAMPLES, self.sent.append)

    def texts(self) -> list[str]:
        return [event["delta"] for event in self.sent]


def answered(spoken: Spoken, model: str = "first") -> list[tuple[str, str]]:
    answer = spoken.utterance.answer(Committed(b"audio", transcription(model)))
    assert answer.seconds >= 0
    kinds = [(event["type"].rpartition(".")[2], event) for event in answer.events]
    return [
        (kind, event.get("delta") or event.get("transcript") or event["error"]["message"])
        for kind, event in kinds
    ]


def test_without_text_before_all_comes_at_once() -> None:
    models = Models()
    spoken = Spoken(models)
    assert answered(spoken) == [("delta", "All words."), ("completed", "All words.")]
    assert models.notes == ["+first", "audio", "-first"]


def test_the_model_is_held_from_the_first_look_to_the_answer() -> None:
    models = Models("All", "", " wor")
    spoken = Spoken(models)
    assert spoken.utterance.begin == 0
    assert [spoken.update() for _ in range(3)] == [True, False, True]
    assert spoken.utterance.begin == 300
    assert spoken.texts() == ["All", " wor"]
    assert spoken.utterance.heard == Heard("All wor and more", 100)
    assert models.notes == ["+first"]
    assert answered(spoken) == [("delta", "ds."), ("completed", "All words.")]
    assert models.notes == ["+first", "audio", "-first"]


def test_all_text_may_have_been_sent() -> None:
    spoken = Spoken(Models("All words."))
    spoken.update()
    assert answered(spoken) == [("completed", "All words.")]


def test_the_model_named_last_transcribes() -> None:
    models = Models("All")
    spoken = Spoken(models)
    spoken.update()
    answered(spoken, "second")
    assert models.notes == ["+first", "-first", "+second", "audio", "-second"]


def test_nothing_is_looked_for_after_the_commit() -> None:
    models = Models("All")
    spoken = Spoken(models)
    spoken.utterance.live_context.cancel()
    assert not spoken.update()
    assert models.notes == []


def test_nothing_is_sent_of_one_that_was_dropped_meanwhile() -> None:
    models = Models("All")
    spoken = Spoken(models)
    models.live_text.meanwhile = spoken.utterance.drop
    assert not spoken.update()
    assert spoken.sent == []
    spoken.utterance.release()
    spoken.utterance.release()
    assert models.notes == ["+first", "-first"]


def test_a_model_that_is_not_to_be_had_is_tried_again_with_the_commit() -> None:
    models = Models("All")
    models.busy = ServerBusy("Not now.")
    spoken = Spoken(models)
    assert not spoken.update()
    assert answered(spoken) == [("failed", "Not now.")]
    models.busy = None
    assert answered(spoken) == [("delta", "All words."), ("completed", "All words.")]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (EngineFailure("The model failed."), "The model failed."),
        (RuntimeError("secret"), "The server had an error while transcribing the item item_1."),
    ],
    ids=str,
)
def test_what_fails(failure: Exception, said: str) -> None:
    models = Models()
    models.failure = failure
    spoken = Spoken(models)
    answer = spoken.utterance.answer(Committed(b"audio", transcription()))
    [event] = answer.events
    assert event["error"]["message"] == said
    assert failure in (answer.error, answer.error and answer.error.__cause__)
    assert models.notes == ["+first", "audio", "-first"]


def test_nobody_is_told_once_the_client_has_gone() -> None:
    models = Models()
    spoken = Spoken(models)
    spoken.gone = True
    answer = spoken.utterance.answer(Committed(b"audio", transcription()))
    assert (answer.events, type(answer.error)) == ([], ClientGone)
    assert models.notes[-1] == "-first"


def test_an_error_is_none_if_it_comes_after_the_client_has_gone() -> None:
    models = Models()
    spoken = Spoken(models)

    def transcribe(*_: object) -> Transcript:
        spoken.gone = True
        raise RuntimeError("the engine is closed")

    models.transcribe = transcribe  # type: ignore[assignment, method-assign]
    answer = spoken.utterance.answer(Committed(b"audio", transcription()))
    assert (answer.events, type(answer.error)) == ([], ClientGone)
