"""A session's work with the model: one piece at a time, in a thread that exists while there is any."""

import logging
from collections import deque
from collections.abc import Callable
from threading import Condition

from app.background import tried_in_background

Job = Callable[[], None]

_log = logging.getLogger(__name__)


class JobThread:
    """Does jobs in the order in which they were added. `on_idle()` is called when none is left."""

    def __init__(self, on_idle: Job) -> None:
        self._on_idle = on_idle
        self._jobs: deque[tuple[Job, float]] = deque()
        self._changed = Condition()
        self._running = False

    @property
    def waiting(self) -> int:
        """How many jobs are not done yet."""
        return len(self._jobs)

    @property
    def waiting_seconds(self) -> float:
        """How much audio the jobs have that are not done yet."""
        with self._changed:
            return sum(seconds for _, seconds in self._jobs)

    def add(self, job: Job, seconds: float = 0.0) -> bool:
        """Have a job done, which has so much audio. An error in it is logged.

        False if the system has no thread to spare: the job isn't done then, and none is being done.
        """
        with self._changed:
            self._jobs.append((job, seconds))
            if not self._running:
                self._running = tried_in_background(self._run, "realtime-jobs")
            if not self._running:
                self._jobs.pop()
            return self._running

    def wait(self, seconds: float) -> None:
        """Wait until none is left, but no longer than so."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, seconds)

    def _run(self) -> None:
        while True:
            try:
                job, _ = self._jobs[0]
                job()
            except Exception:
                _log.exception("A job of a realtime session failed")
            del job  # it may be large, and the last one
            with self._changed:
                self._jobs.popleft()
                if not self._jobs:
                    self._running = False
                    self._changed.notify_all()
                    break
        self._on_idle()
