"""Gunicorn's hooks: one worker, and so one model, for each device.

State is kept on the arbiter and its workers, because gunicorn.conf.py is executed again on SIGHUP.
"""

import os
import signal
import sys
import time
from mmap import mmap

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from app import memory, preflight
from app.confinement import hide_memory
from app.errors import StartError
from app.metrics import forget_dead
from app.runtime import Runtime
from app.server import metrics_folder
from app.server.arbiter import SpeechArbiter, restore_stop_signals
from app.worker_peers import forget_worker

RETRY_SECONDS = 10
"""How long a worker that can't load its model waits before it ends and the next one is started."""


def on_starting(server: Arbiter) -> None:
    """Find model and devices before a port is bound; exits with one message if that fails."""
    # A download may take minutes, and Gunicorn installs its signal handlers only after this hook.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: sys.exit(0))
    hide_memory()  # from the processes that read uploads: the API keys are in its environment
    SpeechArbiter.take_over(server)
    server.metrics_folder = metrics_folder.create(server.cfg)
    checked = preflight.run()
    server.checkpoint = checked.checkpoint
    server.known = checked.more
    server.devices = checked.devices
    _one_worker_per_device(server)


def on_reload(server: SpeechArbiter) -> None:
    """SIGHUP: the new workers are spread over the devices as if the old ones were gone."""
    server.generation += 1
    _one_worker_per_device(server)


def _one_worker_per_device(server: Arbiter) -> None:
    server.cfg.set("workers", len(server.devices))
    server.num_workers = len(server.devices)


def pre_fork(server: SpeechArbiter, worker: Worker) -> None:
    """Give the worker the device with the fewest workers, which is a dead worker's if it replaces one."""
    live = [(other.generation, other.slot) for other in server.WORKERS.values()]

    def load(slot: int) -> tuple[int, int]:
        return live.count((server.generation, slot)), [other_slot for _, other_slot in live].count(slot)

    worker.number = _free_number(server)
    worker.generation = server.generation
    worker.serving = mmap(-1, 1)  # shared with the worker, which is about to be forked
    worker.slot = min(range(len(server.devices)), key=load)
    worker.device = server.devices[worker.slot]
    worker.first = worker.age <= len(server.devices)
    # Later workers resolve the checkpoint again: the file may have been replaced since.
    worker.checkpoint = server.checkpoint if worker.first else None
    worker.known = server.known  # a worker looks whether the files are still the same


def _free_number(server: Arbiter) -> int:
    """The lowest number that no live worker has. It continues a dead worker's counts."""
    taken = {other.number for other in server.WORKERS.values()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server: Arbiter, worker: Worker) -> None:
    """In the new worker: restore signals, limit the allocator's arenas, and share the counts."""
    restore_stop_signals()
    memory.limit_arenas()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(server.metrics_folder)
    worker.folder = server.metrics_folder
    _runtime(worker).metrics.share(worker.folder, worker.number)


def child_exit(server: Arbiter, worker: Worker) -> None:
    """In the arbiter, for a dead worker: it has no requests in progress, and answers no other worker."""
    worker.serving.close()
    forget_worker(server.metrics_folder, worker.number)
    forget_dead(server.metrics_folder, worker.number)


def post_worker_init(worker: Worker) -> None:
    """Load the model before the worker serves."""
    runtime = _runtime(worker)
    try:
        model = runtime.start(worker.device, worker.checkpoint, worker.known)
    except StartError as error:
        worker.log.error("%s", error)
        _exit_after_failure(worker)
    except Exception:
        worker.log.exception("The model can't be started on %s", worker.device)
        _exit_after_failure(worker)
    runtime.instance.peers.join(worker.folder, worker.number)
    worker.serving[0] = True
    worker.log.info("Serving %s on %s", model.card.name, worker.device)
    if runtime.notice:
        worker.log.warning("%s", runtime.notice.capitalize())


def _exit_after_failure(worker: Worker) -> None:
    """End this worker: at the first start together with the server, later after a pause and alone."""
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
