"""Work that several ask for: who does it, who waits, and what they get."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import background
from app.errors import CheckpointError, ClientGone, ServerBusy
from app.shared_work import SharedWork
from tests.threads import no_thread

PATIENCE_SECONDS = 60.0


@pytest.fixture
def changed() -> threading.Condition:
    return threading.Condition()


@pytest.fixture
def wait(changed: threading.Condition) -> Callable[[], None]:
    def until_changed() -> None:
        assert changed.wait(PATIENCE_SECONDS)

    return until_changed


def test_all_who_ask_at_a_time_share_it(changed: threading.Condition, wait: Callable[[], None]) -> None:
    shared, asked, may_end, done = SharedWork(changed), threading.Semaphore(0), threading.Event(), []

    def work() -> int:
        assert may_end.wait(PATIENCE_SECONDS)
        done.append(threading.current_thread())
        return 7

    def waits() -> None:
        asked.release()
        wait()

    with ThreadPoolExecutor(3) as threads:
        asking = [threads.submit(shared.result, "a", work, waits) for _ in range(3)]
        for _ in asking:
            assert asked.acquire(timeout=PATIENCE_SECONDS)
        may_end.set()
        assert [each.result() for each in asking] == [7, 7, 7]
    assert len(done) == 1
    assert shared.result("a", lambda: 8, wait) == 8


def test_what_it_raises_reaches_who_waits(changed: threading.Condition, wait: Callable[[], None]) -> None:
    def missing() -> int:
        raise CheckpointError("no such file")

    with pytest.raises(CheckpointError, match="no such file"):
        SharedWork(changed).result("a", missing, wait)


def test_who_leaves_does_not_end_it(changed: threading.Condition, wait: Callable[[], None]) -> None:
    shared, may_end = SharedWork(changed), threading.Event()

    def work() -> int:
        assert may_end.wait(PATIENCE_SECONDS)
        return 7

    def leave() -> None:
        raise ClientGone("left")

    with pytest.raises(ClientGone):
        shared.result("a", work, leave)
    may_end.set()
    assert shared.result("a", lambda: 7, wait) == 7


def test_without_a_thread_to_spare(
    changed: threading.Condition, wait: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedWork(changed)

    with monkeypatch.context() as patch:
        patch.setattr(background.Thread, "start", no_thread)
        with pytest.raises(ServerBusy, match="no thread to spare"):
            shared.result("a", lambda: 7, wait)
    assert shared.result("a", lambda: 7, wait) == 7
