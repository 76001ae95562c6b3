"""A real Gunicorn, started as an operator starts it and stopped by its process id."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import requests

from tests.openai_spec import check_response

ROOT = Path(__file__).resolve().parents[2]
GUNICORN = str(Path(sys.executable).with_name("gunicorn"))
PATIENCE_SECONDS = 120
"""Far more than anything here takes; a test that waits this long has failed."""


PORTS = range(10_000, 32_000)
"""Linux gives clients ports above these, so no connection takes one before its server is there."""


def free_port() -> int:
    """A loopback port that nobody listens on; another one each time, in each process that runs tests."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without settings of the server, then `changes`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WHISPER_", "CHAT_UPSTREAM", "SPEECH_", "GUNICORN_"))
        and name not in ("HOST", "PORT")
    }
    return {**kept, "WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu", "WHISPER_THREADS": "1", **changes}


class GunicornServer:
    """`gunicorn -c gunicorn.conf.py wsgi:app` with the demo model; `changes` are environment variables.

    `under` is a command that runs another one, whose words are put behind it: in the end it must become
    Gunicorn (`exec`).
    """

    def __init__(self, log: Path, app: str = "wsgi:app", under: Sequence[str] = (), **changes: str) -> None:
        self.host = changes.get("HOST", "127.0.0.1")
        self.port = int(changes.setdefault("PORT", str(free_port())))
        self.url = f"http://{self.host}:{self.port}"
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*under, GUNICORN, "-c", "gunicorn.conf.py", app],
                cwd=ROOT,
                env=environment(**changes),
                stdout=output,
                stderr=output,
            )

    def __enter__(self) -> "GunicornServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def pid(self) -> int:
        """The master's."""
        return self.process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of the master's children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    @property
    def log(self) -> str:
        """All that was written to stdout and stderr."""
        return self._log.read_text()

    def get(self, path: str) -> requests.Response:
        """GET on a connection of its own."""
        return requests.get(self.url + path, headers={"Connection": "close"}, timeout=PATIENCE_SECONDS)

    def transcribe(self, recording: Path, **fields: str) -> requests.Response:
        """POST a recording to /v1/audio/transcriptions."""
        with recording.open("rb") as file:
            return requests.post(
                f"{self.url}/v1/audio/transcriptions",
                data={"model": "whisper-1", **fields},
                files={"file": file},
                hooks={"response": check_response},
                timeout=PATIENCE_SECONDS,
            )

    def listens(self) -> bool:
        """Whether the port takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def wait_until_ready(self, workers: int = 1) -> "GunicornServer":
        """Wait until so many workers have said in the log that they serve, and `/ready` is 200."""
        self.wait_for_log("Serving ", workers)
        assert self.get("/ready").status_code == 200
        return self

    def wait_for_log(self, text: str, times: int = 1) -> None:
        """Wait until the log holds a text so many times; fails if the server ends first."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.log.count(text) < times:
            assert self.process.poll() is None, f"the server ended:\n{self.log}"
            assert time.monotonic() < deadline, f"never said {text!r}:\n{self.log}"
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        """A signal for the master."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, once the server has ended by itself."""
        return self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """SIGTERM, and the exit code; killed if that takes too long."""
        self.send(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.process.wait()
            raise
