"""Gunicorn's arbiter, but a reload keeps the old workers until the new ones serve."""

import signal
from contextlib import suppress

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class SpeechArbiter(Arbiter):  # type: ignore[misc]
    """On SIGHUP new workers start beside the old ones, which end when all new ones serve.

    Gunicorn's own ends the old workers at once, so that no worker answers while a model is loaded, and
    doesn't replace dead workers until they have ended. Any number of SIGHUPs during a reload cause one more.

    The hooks set on each worker its `generation` (the number of reloads before it) and `serving`, one
    byte of shared memory that the worker sets when it serves.
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
        """Fork with STOPS blocked until `restore_stop_signals`: the child inherits the arbiter's handlers."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            pid: int | None = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def reload(self) -> None:
        """Start new workers. The end of Gunicorn's own `reload`, which waits for the old ones, is skipped."""
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
        """Whether Gunicorn, which keeps the youngest workers, would end one that is still needed."""
        staying = sorted(self._current(), key=lambda worker: worker.age)[-self.num_workers :]
        serving = sum(worker.serving[0] for worker in staying)
        return len(self.WORKERS) > len(staying) and serving < self.num_workers

    def _current(self) -> list[Worker]:
        return [worker for worker in self.WORKERS.values() if worker.generation == self.generation]


def restore_stop_signals() -> None:
    """Let STOPS end this process until it has its own handlers. Called in a worker just after the fork."""
    for stop in STOPS:
        signal.signal(stop, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


class _WorkersStartedError(Exception):
    """Ends Gunicorn's `reload` before it waits for the old workers."""
