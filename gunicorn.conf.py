"""Gunicorn's settings and hooks: one worker, and so one model, for each device.

State is kept on the arbiter and its workers, because this file is executed anew on SIGHUP.
"""

import atexit
import logging
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from gunicorn import glogging
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn

from app import memory, preflight
from app.enduring_worker import EnduringThreadWorker
from app.errors import StartError
from app.logs import FORMATTERS
from app.metrics import forget_dead
from app.runtime import Runtime
from app.settings import Settings

RETRY_SECONDS = 10
"""How long a worker that can't load its model waits before it gives way to the next attempt."""


LINGER_SECONDS = 2.0
"""How long a client that was answered may go on sending before its connection is closed all the same."""

_DROP_BYTES = 256 * 1024


class ClosingThreadWorker(EnduringThreadWorker):
    """A gthread worker whose port is closed as soon as it stops, and in which nobody waits for long.

    Gunicorn's own keeps the port open until the last request ends, and new clients hang in its
    backlog. It waits in its only thread that accepts, up to 2 s for each client that was told that
    the connection closes and doesn't hang up, and in any other for a client that neither sends nor
    takes anything, for ever.
    """

    def load_wsgi(self) -> None:
        """Gunicorn calls this once, after the fork."""
        super().load_wsgi()
        self.lingering: deque[TConn] = deque()

    def handle(self, conn: TConn) -> object:
        """Gunicorn calls this in one of the threads, for each request of a connection."""
        limit = struct.pack("ll", _settings.stall_seconds, 0)
        with suppress(OSError):  # it is closed already
            # Linux would hand these on from a listener, but not from one on a Unix socket.
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                conn.sock.setsockopt(socket.SOL_SOCKET, option, limit)
        return super().handle(conn)

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Gunicorn calls this in one of the threads; False closes the connection."""
        try:
            return bool(super().handle_request(req, conn))
        except BlockingIOError:  # what SO_SNDTIMEO ends in
            self.log.info("A connection was cut: its client took nothing for %s s", _settings.stall_seconds)
            return False

    def finish_request(self, conn: TConn, fs: "Future[object]") -> None:
        """Gunicorn calls this in its main thread when `handle` has ended."""
        if fs.cancelled() or fs.exception() or fs.result() is not False:
            super().finish_request(conn, fs)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self.lingering.append(conn)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drop_sent, conn))
        except (OSError, ValueError):
            self._hang_up(conn)

    def murder_pending(self) -> None:
        """Gunicorn calls this about once a second."""
        super().murder_pending()
        while self.lingering and self.lingering[0].timeout < time.monotonic():
            self._hang_up(self.lingering[0])

    def _drop_sent(self, conn: TConn, client: socket.socket) -> None:
        """Read what comes until the client hangs up: closed earlier, it might not see its answer."""
        try:
            if client.recv(_DROP_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._hang_up(conn)

    def _hang_up(self, conn: TConn) -> None:
        self.lingering.remove(conn)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Gunicorn calls this with False when the worker is full, and once when it stops."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            _runtime(self).drain()
            for listener in self.sockets:
                listener.close()


class OneFormatLogger(glogging.Logger):  # type: ignore[misc]
    """Gunicorn's logger, whose file, level and format hold for the application's lines too.

    A `logconfig_dict` would fix all three, so that --log-level and --error-logfile did nothing, and
    switch on the access log, which the application's own line for each request replaces.
    """

    def setup(self, cfg: Config) -> None:
        """Gunicorn calls this at the start and on SIGHUP."""
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(FORMATTERS[_settings.log_format]())
        logging.getLogger().handlers = self.error_log.handlers
        logging.getLogger("app").setLevel(self.loglevel)

    def exception(self, msg: str, *args: object, **kwargs: Any) -> None:
        """Gunicorn tells every failure of a connection with its traceback, even SO_RCVTIMEO's."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.info("A connection was cut: its client sent nothing for %s s", _settings.stall_seconds)
        else:
            super().exception(msg, *args, **kwargs)


def _read_settings() -> Settings:
    try:
        return Settings.from_environ()
    except StartError as error:
        sys.exit(f"Error: {error}")


_settings = _read_settings()

bind = _settings.bind
logger_class = OneFormatLogger
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
    server.metrics_folder = _metrics_folder(server)
    found = preflight.run()
    server.checkpoint = found.checkpoint
    server.devices = found.devices
    server.generation = 0
    _one_worker_per_device(server)


def _metrics_folder(server: Arbiter) -> Path:
    """An empty folder for the counts of this master's workers, which goes when the master goes.

    Another instance has another, and so has the second master that SIGUSR2 starts: it counts from zero.
    """
    folder = Path(tempfile.mkdtemp(prefix="whisper-metrics-", dir=worker_tmp_dir))
    os.chown(folder, server.cfg.uid, server.cfg.gid)
    master = os.getpid()

    def remove() -> None:
        if os.getpid() == master:  # workers inherit this
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


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

    worker.number = _free_number(server)
    worker.generation = server.generation
    worker.slot = min(range(len(server.devices)), key=load)
    worker.device = server.devices[worker.slot]
    worker.first = worker.age <= len(server.devices)
    # Later workers look again: the file may have been replaced since.
    worker.checkpoint = server.checkpoint if worker.first else None


def _free_number(server: Arbiter) -> int:
    """The lowest that no live worker has: a dead one's counts are taken over and go on."""
    taken = {other.number for other in server.WORKERS.values()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Share heaps, and count together with the other workers, from here on."""
    memory.share_heaps()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(server.metrics_folder)
    _runtime(worker).metrics.share(server.metrics_folder, worker.number)


def child_exit(server: Arbiter, worker: Worker) -> None:
    """A dead worker has no requests in progress."""
    forget_dead(server.metrics_folder, worker.number)


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
