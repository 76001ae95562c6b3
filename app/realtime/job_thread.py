"""A session's work with the model: one piece at a time, in a thread that exists while there is any."""

import logging
from collections import deque
from collections.abc import Callable
from threading import Condition

from app.background import run_in_background

Job = Callable[[], None]

_log = logging.getLogger(__name__)


class JobThread:
    """Does jobs in the order in which they were added. `on_idle()` is called when none is left."""

    def __init__(self, on_idle: Job) -> None:
        self._on_idle = on_idle
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._running = False

    @property
    def waiting(self) -> int:
        """How many jobs are not done yet."""
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Have a job done. An error in it is logged."""
        with self._changed:
            self._jobs.append(job)
            if self._running:
                return
            self._running = True
        run_in_background(self._run, "realtime-jobs")

    def wait(self, seconds: float) -> None:
        """Wait until none is left, but no longer than so."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, seconds)

    def _run(self) -> None:
        while True:
            try:
                self._jobs[0]()
            except Exception:
                _log.exception("A job of a realtime session failed")
            with self._changed:
                self._jobs.popleft()
                if not self._jobs:
                    self._running = False
                    self._changed.notify_all()
                    break
        self._on_idle()
