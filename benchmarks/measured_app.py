"""The server's own application, with a clock in it, for Gunicorn as `benchmarks.measured_app:create()`.

Every answer to a transcription carries the header `x-measured`, a JSON object: `received` and
`answered` are times on the machine's monotonic clock, which its processes share; `decode`, `gate`
and `model` are the seconds in between that a stage took.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, BinaryIO

from flask import Flask, Response, g

from app import create_app
from app.checkpoints import Checkpoint
from app.checkpoints.verified import Verified
from app.engines.interface import Engine, Recording
from app.loaded_model import LoadedModel
from app.request_context import RequestContext, T
from app.request_cost import RequestCost
from app.runtime import Runtime
from app.settings import Settings
from app.transcription.audio_reader import AudioReader
from app.transcription.request import HasSpeech, TranscriptionRequest
from app.transcription.transcriber import Deltas, Transcriber
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


class MeasuredContext(RequestContext):
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

    def open(self, *args: Any) -> Recording:
        """Compute the features of samples."""
        with timed("model"):
            return self._engine.open(*args)


class MeasuredReader(AudioReader):
    """An AudioReader whose reading is measured."""

    def _read(self, file: BinaryIO, context: RequestContext, *, by_channel: bool) -> Samples:
        with timed("decode"):
            return super()._read(file, context, by_channel=by_channel)


class MeasuredTranscriber(Transcriber):
    """A Transcriber that notes when the form has been read, and when all of the transcript is there."""

    def stream(self, file: BinaryIO, request: TranscriptionRequest, context: RequestContext) -> Deltas:
        """The segments of an audio file."""
        g.measured = {"received": monotonic(), "decode": 0.0, "gate": 0.0, "model": 0.0}
        return self._noted(super().stream(file, request, context))

    def _noted(self, deltas: Deltas) -> Deltas:
        yield from deltas
        g.measured["answered"] = monotonic()


class MeasuredRuntime(Runtime):
    """A Runtime that notes what each stage of a request takes."""

    def __init__(self, settings: Settings, engine: Engine | None = None) -> None:
        super().__init__(settings, engine)
        plain = self.transcriber
        reader = MeasuredReader(**vars(plain.reader))
        self.transcriber = replace(MeasuredTranscriber(**vars(plain)), reader=reader)

    def start(
        self, device: str, checkpoint: Checkpoint | None = None, known: Mapping[str, Verified] | None = None
    ) -> LoadedModel:
        """Load the model and the voice detector."""
        model = super().start(device, checkpoint, known)
        policy = self.transcriber.policy
        gated = replace(policy, has_speech=measured_gate(policy.has_speech))
        self.transcriber = replace(self.transcriber, policy=gated)
        return model

    def request_context(
        self,
        client_gone: Callable[[], bool] = lambda: False,
        caller: str = "",
        cost: RequestCost | None = None,
    ) -> RequestContext:
        """The context of a request, whose waits are measured."""
        plain = super().request_context(client_gone, caller, cost)
        return MeasuredContext(plain.limit_seconds, plain.deadline, client_gone, caller, plain.cost)

    def _engine_for(self, context: RequestContext) -> Engine:
        return MeasuredEngine(super()._engine_for(context))


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
