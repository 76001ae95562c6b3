"""What a request leaves behind, however it ends: nothing, without waiting for a full collection."""

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, suppress

import numpy as np
import pytest

from app.engines.interface import Window, WindowOptions, WindowResult
from app.errors import ClientGone, EngineFailure
from app.request_context import RequestContext
from app.transcription.request import Chunking, Policy, TranscriptionRequest
from app.transcription.side_by_side import SideBySide
from app.transcription.transcribe import stream_samples
from app.waveform import Samples
from tests.scripted_engine import ScriptedEngine, result, spell, ts

PATIENCE_SECONDS = 60
WAYS = {
    "whole": TranscriptionRequest(language="en", word_timestamps=True),
    "pieces": TranscriptionRequest(language="en", chunking=Chunking()),
    "channels": TranscriptionRequest(language="en", by_channel=True),
}


@pytest.fixture(params=[0, 2], ids=["in order", "read ahead"])
def policy(request: pytest.FixtureRequest) -> Iterator[Policy]:
    side_by_side = SideBySide(request.param)
    spans = [(start, start + 25.0) for start in range(0, 120, 30)]
    yield Policy(find_speech=lambda samples, chunking: spans, side_by_side=side_by_side)
    side_by_side.close()


def sound(way: str) -> Samples:
    return np.zeros((2, 120 * 16_000) if way == "channels" else 120 * 16_000, np.int16)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ["read", "closed", "left", "failed"])
def test_no_samples_are_held(policy: Policy, way: str, ending: str) -> None:
    def answer(window: Window, options: WindowOptions) -> WindowResult:
        if ending == "failed" and window.seek:
            raise EngineFailure("broken")
        return result(ts(0), *spell(" Hello."), ts(2), ts(2), *spell(" Hello."), ts(29))

    def request() -> weakref.ref[Samples]:
        engine, samples, left = ScriptedEngine(answer), sound(way), list[bool]()
        context = RequestContext.of(PATIENCE_SECONDS, lambda: bool(left))
        with (
            suppress(EngineFailure, ClientGone),
            closing(stream_samples(engine, samples, WAYS[way], policy, context)) as deltas,
        ):
            next(deltas)
            if ending == "left":
                left.append(True)
            if ending != "closed":
                list(deltas)
        return weakref.ref(samples)

    gc.disable()
    try:
        held, deadline = request(), time.monotonic() + PATIENCE_SECONDS
        while held() is not None:  # a thread may be just leaving
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        gc.enable()
