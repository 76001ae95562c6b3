import threading
import time
from concurrent.futures import Future

import pytest

from app.errors import ClientGone, RequestTimeout, ServerBusy
from app.transcription.patience import Patience


def test_waits_for_the_result() -> None:
    future: Future[int] = Future()
    threading.Timer(0.4, future.set_result, [7]).start()
    assert Patience.of(60).wait(future) == 7


def test_the_deadline_names_the_limit() -> None:
    with pytest.raises(RequestTimeout, match=r"longer than the 0\.1 seconds"):
        Patience.of(0.1).wait(Future())


def test_a_client_that_leaves_while_waiting_ends_the_wait() -> None:
    since = time.monotonic()
    patience = Patience.of(60, lambda: time.monotonic() > since + 0.2)
    with pytest.raises(ClientGone):
        patience.wait(Future())


def test_a_cancelled_window_means_the_server_is_stopping() -> None:
    future: Future[int] = Future()
    future.cancel()
    future.set_running_or_notify_cancel()
    with pytest.raises(ServerBusy):
        Patience.of(60).wait(future)


def test_a_time_out_inside_the_work_is_the_works_own() -> None:
    future: Future[int] = Future()
    future.set_exception(TimeoutError("inner"))
    with pytest.raises(TimeoutError, match="inner"):
        Patience.of(60).wait(future)
