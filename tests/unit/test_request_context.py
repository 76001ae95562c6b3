import gc
import threading
import time
import weakref
from concurrent.futures import CancelledError, Future
from contextlib import suppress

import pytest

from app.errors import ClientGone, EngineFailure, RequestTimeout, ServerBusy, SpeechError
from app.request_context import RequestContext

PATIENCE_SECONDS = 60


def test_waits_for_the_result() -> None:
    future: Future[int] = Future()
    threading.Timer(0.4, future.set_result, [7]).start()
    assert RequestContext.of(60).wait(future) == 7


def test_the_deadline_names_the_limit() -> None:
    with pytest.raises(RequestTimeout, match=r"longer than the 0\.1 seconds"):
        RequestContext.of(0.1).wait(Future())


def test_a_client_that_leaves_while_waiting_ends_the_wait() -> None:
    since = time.monotonic()
    context = RequestContext.of(60, lambda: time.monotonic() > since + 0.2)
    with pytest.raises(ClientGone):
        context.wait(Future())


def test_a_cancelled_window_means_the_server_is_stopping() -> None:
    future: Future[int] = Future()
    future.cancel()
    future.set_running_or_notify_cancel()
    with pytest.raises(ServerBusy):
        RequestContext.of(60).wait(future)


@pytest.mark.parametrize("waiting", [False, True], ids=["before", "while waiting"])
def test_cancelling_ends_waits(waiting: bool) -> None:
    context = RequestContext.of(PATIENCE_SECONDS)
    assert not context.abandoned
    if waiting:
        threading.Timer(0.4, context.cancel).start()
    else:
        context.cancel()
    with pytest.raises(ClientGone):
        context.wait(Future())
    assert context.abandoned
    with pytest.raises(ClientGone):
        context.check()


def test_a_cancelled_request_takes_no_result() -> None:
    future: Future[int] = Future()
    future.set_result(7)
    context = RequestContext.of(PATIENCE_SECONDS)
    context.cancel()
    with pytest.raises(ClientGone):
        context.wait(future)


def test_each_request_has_its_own_cost_and_is_cancelled_alone() -> None:
    first, second = RequestContext.of(PATIENCE_SECONDS), RequestContext.of(PATIENCE_SECONDS)
    first.cancel()
    first.cost.add_fallback()
    assert (first.cost.totals().fallbacks, second.cost.totals().fallbacks) == (1, 0)
    assert not second.abandoned


class Sound:
    """What a request has large."""


def ended(how: str) -> Future[int]:
    """A future that failed, was cancelled, or has nothing yet."""
    future: Future[int] = Future()
    if how == "failed":
        future.set_exception(EngineFailure("broken"))
    elif how == "cancelled":
        future.set_exception(CancelledError())
    return future


@pytest.mark.parametrize("how", ["failed", "cancelled", "left"])
def test_who_waited_in_vain_is_not_held(how: str) -> None:
    """A failed future has an error whose traceback has the frames that waited, and theirs is the sound."""

    def wait(sound: Sound) -> None:
        RequestContext.of(60, lambda: how == "left").wait(ended(how))

    def request() -> weakref.ref[Sound]:
        sound = Sound()
        with suppress(SpeechError):
            wait(sound)
        return weakref.ref(sound)

    gc.disable()
    try:
        assert request()() is None
    finally:
        gc.enable()


def test_a_time_out_inside_the_work_is_the_works_own() -> None:
    future: Future[int] = Future()
    future.set_exception(TimeoutError("inner"))
    with pytest.raises(TimeoutError, match="inner"):
        RequestContext.of(60).wait(future)


def test_cancelling_ends_a_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at the end of a step of waiting, which never comes here."""
    monkeypatch.setattr("app.waiting.POLL_SECONDS", 10_000.0)
    context = RequestContext.of(PATIENCE_SECONDS)
    threading.Timer(0.1, context.cancel).start()
    with pytest.raises(ClientGone):
        context.wait(Future())


def test_cancelling_twice_is_cancelling() -> None:
    context = RequestContext.of(PATIENCE_SECONDS)
    context.cancel()
    context.cancel()
    assert context.abandoned
