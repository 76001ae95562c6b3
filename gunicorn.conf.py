"""Gunicorn's settings and hooks: one worker, and so one model, for each device.

State is kept on the arbiter and its workers, because this file is executed anew on SIGHUP.
"""

import signal
import sys
import time
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from app import preflight
from app.errors import StartError
from app.runtime import Runtime
from app.settings import Settings

RETRY_SECONDS = 10
"""How long a worker that can't load its model waits before it gives way to the next attempt."""


class ClosingThreadWorker(ThreadWorker):  # type: ignore[misc]
    """A gthread worker whose port is closed as soon as it stops.

    Gunicorn's own keeps it open until the last request ends, and new clients hang in its backlog.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        """Gunicorn calls this with False when the worker is full, and once when it stops."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            _runtime(self).drain()
            for listener in self.sockets:
                listener.close()


def _read_settings() -> Settings:
    try:
        return Settings.from_environ()
    except StartError as error:
        sys.exit(f"Error: {error}")


_settings = _read_settings()

bind = _settings.bind
worker_class = ClosingThreadWorker
threads = 64
worker_connections = 256
preload_app = True
max_requests = 0
timeout = 120
graceful_timeout = _settings.request_seconds + 30
keepalive = 75
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 (only Gunicorn's heartbeat file)


def on_starting(server: Arbiter) -> None:
    """Find model and devices before a port is bound; exits with one message if that fails."""
    # A download may take minutes, and Gunicorn handles signals only after this hook.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: sys.exit(0))
    found = preflight.run()
    server.checkpoint = found.checkpoint
    server.devices = found.devices
    server.generation = 0
    _one_worker_per_device(server)


def on_reload(server: Arbiter) -> None:
    """SIGHUP: the new workers are spread over the devices without regard to those that leave."""
    server.generation += 1
    _one_worker_per_device(server)


def _one_worker_per_device(server: Arbiter) -> None:
    server.cfg.set("workers", len(server.devices))
    server.num_workers = len(server.devices)


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Give the worker the least loaded device, which is the dead one's if it replaces one."""
    live = [(other.generation, other.slot) for other in server.WORKERS.values()]

    def load(slot: int) -> tuple[int, int]:
        return live.count((server.generation, slot)), [taken for _, taken in live].count(slot)

    worker.generation = server.generation
    worker.slot = min(range(len(server.devices)), key=load)
    worker.device = server.devices[worker.slot]
    worker.first = worker.age <= len(server.devices)
    # Later workers look again: the file may have been replaced since.
    worker.checkpoint = server.checkpoint if worker.first else None


def post_worker_init(worker: Worker) -> None:
    """Load the model before the worker serves."""
    runtime = _runtime(worker)
    try:
        runtime.start(worker.device, worker.checkpoint)
    except StartError as error:
        worker.log.error("%s", error)
        _give_up(worker)
    except Exception:
        worker.log.exception("The model can't be started on %s", worker.device)
        _give_up(worker)
    worker.log.info("Serving %s on %s", runtime.card.name, worker.device)
    if runtime.notice:
        worker.log.warning("%s", runtime.notice.capitalize())


def _give_up(worker: Worker) -> None:
    """Stop the whole server at its first start; later leave the healthy workers alone."""
    if worker.first:
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    time.sleep(RETRY_SECONDS)
    sys.exit(1)


def worker_exit(_server: Arbiter, worker: Worker) -> None:
    """Stop the engine thread; requests that still wait for it are answered with 503."""
    _runtime(worker).close()


def _runtime(worker: Worker) -> Runtime:
    runtime: Runtime = worker.app.wsgi().extensions["runtime"]
    return runtime
