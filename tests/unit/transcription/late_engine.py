"""An engine that answers when it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from app.engines.interface import Window, WindowOptions
from tests.scripted_engine import ScriptedEngine


@dataclass
class Job:
    window: Window
    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


@dataclass
class LateEngine(ScriptedEngine):
    """What is asked waits in `jobs` for `go_on()`, which drops what belongs to a closed recording first."""

    jobs: deque[Job] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)

    def submit(self, window: Window, options: WindowOptions) -> Future[Any]:
        return self._later("submit", window, super().submit, window, options)

    def score(self, window: Window, *told: Any) -> Future[Any]:
        return self._later("score", window, super().score, window, *told)

    def detect_language(self, window: Window) -> Future[Any]:
        return self._later("detect_language", window, super().detect_language, window)

    def align(self, window: Window, *told: Any) -> Future[Any]:
        return self._later("align", window, super().align, window, *told)

    def begin(self) -> None:
        """Work on the first job; from now on it can't be cancelled as what waits is."""
        self.jobs[0].future.set_running_or_notify_cancel()

    def go_on(self, failure: Exception | None = None) -> None:
        """Finish the first job that is wanted."""
        self.drop()
        if self.jobs:
            job = self.jobs.popleft()
            if failure:
                job.future.set_exception(failure)
            else:
                job.future.set_result(job.work().result())

    def drop(self) -> None:
        """Cancel what nobody wants, as the batching engine does between two steps."""
        unwanted = [job for job in self.jobs if job.window.recording.closed or not self.alive]
        for job in unwanted:
            self.jobs.remove(job)
        for job in unwanted:
            if job.future.running():
                job.future.set_exception(CancelledError())
            else:
                job.future.cancel()

    def close(self) -> None:
        super().close()
        self.drop()

    def _later(self, name: str, window: Window, work: Callable[..., Any], *args: Any) -> Future[Any]:
        self.asked.append(name)
        job = Job(window, lambda: work(*args))
        if self.alive:
            self.jobs.append(job)
        else:
            job.future.cancel()
        return job.future
