import threading
from concurrent.futures import CancelledError, Future

import pytest

from app.errors import ClientGone
from app.waiting import POLL_SECONDS, check_client, poll, wait_for


def test_a_client_that_is_there() -> None:
    check_client(lambda: False)


def test_a_client_that_has_gone() -> None:
    with pytest.raises(ClientGone, match=r"The client closed the connection\."):
        check_client(lambda: True)


def test_polls_until_there_is_a_result() -> None:
    results, steps, checks = iter([b"", b"", b"here"]), list[float](), list[None]()

    def attempt(seconds: float) -> bytes:
        steps.append(seconds)
        return next(results)

    assert poll(attempt, lambda: checks.append(None)) == b"here"
    assert (steps, len(checks)) == ([POLL_SECONDS] * 3, 3)


def test_what_the_check_raises_ends_the_wait() -> None:
    answers = iter([False, False, True])
    with pytest.raises(ClientGone):
        poll(lambda seconds: None, lambda: check_client(lambda: next(answers)))


def test_nothing_is_attempted_for_a_client_that_has_gone() -> None:
    with pytest.raises(ClientGone):
        poll(lambda seconds: pytest.fail("attempted"), lambda: check_client(lambda: True))


def test_waits_for_a_future() -> None:
    future: Future[int] = Future()
    threading.Timer(2 * POLL_SECONDS, future.set_result, [7]).start()
    assert wait_for(future, lambda: None) == 7


@pytest.mark.parametrize("value", [None, 0, ""])
def test_a_result_may_be_anything(value: object) -> None:
    future: Future[object] = Future()
    future.set_result(value)
    assert wait_for(future, lambda: None) == value


@pytest.mark.parametrize("notified", [False, True])
def test_a_cancelled_future(notified: bool) -> None:
    future: Future[None] = Future()
    future.cancel()
    if notified:
        future.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        wait_for(future, lambda: None)


@pytest.mark.parametrize("error", [TimeoutError("its own"), CancelledError("its own"), ValueError("its own")])
def test_a_failed_future(error: BaseException) -> None:
    future: Future[None] = Future()
    future.set_exception(error)
    with pytest.raises(type(error), match="its own"):
        wait_for(future, lambda: None)


def test_an_interruption_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at the end of a step, which never comes here."""
    monkeypatch.setattr("app.waiting.POLL_SECONDS", 10_000.0)
    interruption: Future[None] = Future()
    threading.Timer(0.1, interruption.set_result, [None]).start()
    with pytest.raises(ClientGone):
        wait_for(Future(), lambda: check_client(interruption.done), interruption)
