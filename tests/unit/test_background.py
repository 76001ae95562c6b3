import gc
import threading
import weakref
from threading import Event, Thread

import pytest

from app.background import run_in_background

PATIENCE_SECONDS = 60


def test_the_result_of_the_work() -> None:
    names = run_in_background(lambda: threading.current_thread().name, "upstream")
    assert names.result(PATIENCE_SECONDS) == "upstream"


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit("broken")])
def test_the_error_of_the_work(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error), match="broken"):
        run_in_background(work, "upstream").result(PATIENCE_SECONDS)


def test_work_that_never_ends_keeps_no_process() -> None:
    found, end = list[Thread](), Event()

    def work() -> None:
        found.append(threading.current_thread())
        assert end.wait(PATIENCE_SECONDS)

    running = run_in_background(work, "upstream")
    end.set()
    running.result(PATIENCE_SECONDS)
    assert found[0].daemon


def test_what_failed_is_not_held_by_its_error() -> None:
    class Sound:
        """What the work has large."""

    def fail(sound: Sound) -> None:
        raise ValueError("broken")

    def failed() -> weakref.ref[Sound]:
        sound = Sound()
        outcome = run_in_background(lambda: fail(sound), "upstream")
        assert isinstance(outcome.exception(PATIENCE_SECONDS), ValueError)
        return weakref.ref(sound)

    gc.disable()
    try:
        reference = failed()
        for thread in threading.enumerate():
            if thread.name == "upstream":
                thread.join(PATIENCE_SECONDS)
        assert reference() is None
    finally:
        gc.enable()
