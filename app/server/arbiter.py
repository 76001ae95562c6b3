"""Gunicorn's arbiter, whose old workers serve until the new ones do."""

import signal
from contextlib import suppress

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class SpeechArbiter(Arbiter):  # type: ignore[misc]
    """On SIGHUP new workers are loaded beside the old, which leave when all new ones serve.

    Gunicorn's own ends the old workers at once, so that nobody answers while a model is loaded, and looks
    after no worker until they have ended. Further SIGHUPs that come meanwhile are answered by one more
    reload, not by one each.

    The hooks keep on each worker its `generation` (the number of reloads before it) and `serving`, one
    byte of shared memory that the worker sets.
    """

    generation: int
    reload_again: bool
    _reloading: bool

    @classmethod
    def take_over(cls, server: Arbiter) -> None:
        """Turn Gunicorn's arbiter into this one: it has no setting for its class."""
        server.__class__ = cls
        server.generation = 0
        server.reload_again = server._reloading = False

    def handle_hup(self) -> None:
        """Reload, or remember to do so once the reload that is under way has ended."""
        if self._loading():
            self.reload_again = True
            self.log.info("Hang up: the workers of the last one are still loading, so it is put off")
        else:
            super().handle_hup()

    def spawn_worker(self) -> int | None:
        """Fork, with STOPS held back until `obey_stops`: the arbiter's handlers would swallow them."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            pid: int | None = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def reload(self) -> None:
        """Start new workers. What comes last in Gunicorn's own, waiting for the old ones, is left out."""
        self._reloading = True
        with suppress(_WorkersStartedError):
            super().reload()

    def manage_workers(self) -> None:
        """Gunicorn calls this at the end of `reload`, and about once a second."""
        if self._reloading:
            self._reloading = False
            raise _WorkersStartedError
        if not self._loading():
            super().manage_workers()
            if self.reload_again and not self._loading():
                self.reload_again = False
                self.reload()
            return
        for _ in range(self.num_workers - len(self._current())):
            self.spawn_worker()

    def _loading(self) -> bool:
        """Whether a worker is still needed that Gunicorn, which keeps the youngest, would end."""
        staying = sorted(self._current(), key=lambda worker: worker.age)[-self.num_workers :]
        serving = sum(worker.serving[0] for worker in staying)
        return len(self.WORKERS) > len(staying) and serving < self.num_workers

    def _current(self) -> list[Worker]:
        return [worker for worker in self.WORKERS.values() if worker.generation == self.generation]


def obey_stops() -> None:
    """To be called in a worker that was just forked: let it end at once until it has its own handlers."""
    for stop in STOPS:
        signal.signal(stop, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


class _WorkersStartedError(Exception):
    """Leaves Gunicorn's `reload` where its waiting would begin."""
