"""The server's own application, with a clock in it, for Gunicorn as `benchmarks.measured_app:create()`.

Every answer to a transcription carries the header `x-measured`, a JSON object: `received` and
`answered` are times on the machine's monotonic clock, which its processes share; `decode`, `gate`
and `model` are the seconds in between that a stage took.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, BinaryIO

from flask import Flask, Response, g

from app import create_app
from app.checkpoints import Checkpoint
from app.engines.interface import Engine, Recording
from app.held_audio import AudioShare
from app.request_context import RequestContext, T
from app.runtime import Runtime
from app.settings import Settings
from app.transcript import RequestCost, Transcript
from app.transcription.request import HasSpeech, TranscriptionRequest
from app.waveform import Samples

HEADER = "x-measured"


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Count the time within for a stage of this request."""
    started = monotonic()
    try:
        yield
    finally:
        g.measured[stage] += monotonic() - started


def measured_gate(has_speech: HasSpeech) -> HasSpeech:
    """The silence gate, measured."""

    def listen(samples: Samples, floor: float) -> bool:
        with timed("gate"):
            return has_speech(samples, floor)

    return listen


class MeasuredPatience(RequestContext):
    """What a request waits for is the model's work."""

    def wait(self, future: Future[T]) -> T:
        """The future's result."""
        with timed("model"):
            return super().wait(future)


class MeasuredEngine:
    """An engine whose log-mel counts as the model's work too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def open(self, samples: Samples) -> Recording:
        """Compute the features of 16 kHz mono samples `[n]`."""
        with timed("model"):
            return self._engine.open(samples)


class MeasuredRuntime(Runtime):
    """A Runtime that notes what each stage of a request takes."""

    @property
    def engine(self) -> Engine:
        """The started engine, measured."""
        return MeasuredEngine(super().engine)

    def start(self, device: str, checkpoint: Checkpoint | None = None) -> None:
        """Load the model and the voice detector."""
        super().start(device, checkpoint)
        self.policy = replace(self.policy, has_speech=measured_gate(self.policy.has_speech))

    def context(
        self, client_gone: Callable[[], bool] = lambda: False, cost: RequestCost | None = None
    ) -> RequestContext:
        """The time one request has, measured."""
        plain = super().context(client_gone, cost)
        return MeasuredPatience(plain.limit_seconds, plain.deadline, client_gone, plain.cost)

    def decode(
        self, file: BinaryIO, context: RequestContext, share: AudioShare, *, by_channel: bool = False
    ) -> Samples:
        """An audio file as samples, measured."""
        with timed("decode"):
            return super().decode(file, context, share, by_channel=by_channel)

    def transcribe(
        self,
        file: BinaryIO,
        request: TranscriptionRequest,
        client_gone: Callable[[], bool] = lambda: False,
        caller: str = "",
        cost: RequestCost | None = None,
    ) -> Transcript:
        """All of one audio file: the form has been read, the answer not been written."""
        g.measured = {"received": monotonic(), "decode": 0.0, "gate": 0.0, "model": 0.0}
        transcript = super().transcribe(file, request, client_gone, caller, cost)
        g.measured["answered"] = monotonic()
        return transcript


def create(settings: Settings | None = None, runtime: MeasuredRuntime | None = None) -> Flask:
    """The application around a measured runtime; the defaults are those of `app.create_app`."""
    settings = settings or Settings.from_environ()
    flask = create_app(settings, runtime or MeasuredRuntime(settings))
    flask.after_request(_report)
    return flask


def _report(response: Response) -> Response:
    if "measured" in g:
        response.headers[HEADER] = json.dumps(g.measured)
    return response
