"""Opening a recording: for whom it is, and what becomes of it if nobody waits for it any more."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import numpy as np
import pytest

from app import engines
from app.checkpoints import resolve
from app.engines.interface import EngineOptions
from app.errors import ClientGone
from app.request_context import RequestContext
from app.scheduling import SchedulingClass
from app.settings import Settings

PATIENCE_SECONDS = 120
SECOND = np.zeros(16_000, np.float32)


@pytest.fixture(scope="module", params=["reference", "batched"])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    running = engines.start(request.param, resolve(Settings(model="demo")), "cpu", EngineOptions(threads=1))
    yield running
    running.close()


@pytest.fixture
def hold(engine: Any) -> Iterator[threading.Event]:
    """Until this is set the engine's thread does nothing."""
    go_on = threading.Event()
    engine._thread.submit(lambda: go_on.wait(PATIENCE_SECONDS))
    yield go_on
    go_on.set()


def test_a_recording_knows_where_it_comes_from(engine: Any) -> None:
    assert engine.open(SECOND).scheduling_class is SchedulingClass.UPLOAD
    live = engine.open(SECOND, SchedulingClass.LIVE_TEXT)
    assert live.scheduling_class is SchedulingClass.LIVE_TEXT


def test_who_is_cancelled_waits_for_no_features_and_they_are_not_computed(
    engine: Any, hold: threading.Event
) -> None:
    """The engine is busy all the while."""
    context = RequestContext.of(PATIENCE_SECONDS)
    waited_for: list[Future[None]] = []

    def wait(future: Future[None]) -> None:
        waited_for.append(future)
        threading.Timer(0.1, context.cancel).start()
        context.wait(future)

    with pytest.raises(ClientGone):
        engine.open(SECOND, SchedulingClass.LIVE_TEXT, wait)
    hold.set()
    with pytest.raises(CancelledError):
        waited_for[0].result(PATIENCE_SECONDS)
