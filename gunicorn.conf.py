"""Gunicorn's settings. The hooks are in app/server/hooks.py."""

import sys
from pathlib import Path

from app.admission import THREADS
from app.errors import StartError
from app.server.hooks import (  # noqa: F401, Gunicorn finds them by name
    child_exit,
    on_reload,
    on_starting,
    post_fork,
    post_worker_init,
    pre_fork,
    worker_exit,
)
from app.server.logger import OneFormatLogger
from app.server.worker import SpeechWorker
from app.settings import Settings


def _read_settings() -> Settings:
    try:
        return Settings.from_environ()
    except StartError as error:
        sys.exit(f"Error: {error}")


_settings = _read_settings()

bind = _settings.bind
logger_class = OneFormatLogger
worker_class = SpeechWorker
threads = THREADS
worker_connections = 256
preload_app = True
max_requests = 0
timeout = 120
graceful_timeout = _settings.request_seconds + 30
keepalive = 75
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 (only Gunicorn's heartbeat file)
