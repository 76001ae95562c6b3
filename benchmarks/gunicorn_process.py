"""A real Gunicorn on loopback, for as long as a measurement takes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import requests

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 300
UNSHARED = {"WHISPER_RETRY_GRACE_SECONDS": "0"}
"""Clients that send the same file at the same time would share its windows, and nobody would measure them."""


class Server(NamedTuple):
    """A running server: its base URL, and its master's process id."""

    url: str
    pid: int

    def workers(self) -> list[int]:
        """The process ids of the master's children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


@contextmanager
def serving(app: str, log: Path, **environ: str) -> Iterator[Server]:
    """A ready server for a WSGI application; `environ` are its settings.

    Raises RuntimeError with what it logged if it does not start.
    """
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", app]
    settings = {**os.environ, **UNSHARED, **environ, "HOST": "127.0.0.1", "PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=output, stderr=output)
    try:
        _wait_until_ready(process, url := f"http://127.0.0.1:{port}", log)
        yield Server(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/ready", timeout=START_SECONDS).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text()}")
